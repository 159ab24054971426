//! Key ceremonies, as people hold them: on a machine that is on no network, step by step.
//!
//! | module | what it holds |
//! |---|---|
//! | [`plan_file`] | what is to be made, as people write it down |
//! | [`conversation`] | question and answer, and the transcript |
//! | [`preflight`] | what stands in its way, found before the first question |
//! | [`hold`] | the ceremony: keys, signatures |
//! | [`founding`] | an index out of what it made |
//! | [`papers`] | what comes out of it: metadata, sheet, bundles |
//! | [`rehearsal`] | all of it on throwaway keys |
//! | [`review`] | what a holder is shown before they sign |

pub(crate) mod bundle;
pub(crate) mod conversation;
pub(crate) mod current;
pub(crate) mod founding;
pub(crate) mod hold;
pub(crate) mod memory;
pub(crate) mod papers;
pub(crate) mod plan_file;
pub(crate) mod preflight;
pub(crate) mod rehearsal;
pub(crate) mod review;
pub(crate) mod sheet;

//! The upload API that twine, uv, flit, poetry and hatch speak (`/legacy/`).

mod create;
mod form;
mod release;

pub(crate) use create::create;

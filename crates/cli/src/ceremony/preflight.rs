//! What stands in the way of a ceremony, found before the first question: at a rehearsal days before, and
//! once more when it begins.

use waxseal_signing::{Nobody, Scheme};

use super::current::Current;
use super::hold::read_public;
use super::memory::Kept;
use super::plan_file::{KeyPlan, PlanFile};

/// Whose the online key is.
const ONLINE: &str = "the online key";

/// What is to be seen to, a sentence each: of the plan, of this machine and of the keys that are to be at
/// hand. Nobody is asked for a passphrase or PIN.
pub(crate) fn findings(plan: &PlanFile, current: Option<&Current>, kept: Kept) -> Vec<String> {
    let mut findings = self::plan(plan, current);
    if let Err(swappable) = kept.require() {
        findings.push(swappable.to_string());
    }
    for (whose, key, scheme) in keys(plan) {
        let KeyPlan::There(uri) = key else { continue };
        let problem = match waxseal_signing::inspect(uri, &Nobody) {
            Err(error) => Some(error.to_string()),
            Ok(info) => info.problem.or_else(|| {
                let has = info.public_key.as_ref();
                let scheme = has.map_or(Ok(scheme), |key| key.scheme().unwrap_or_default().parse());
                let check = scheme.and_then(|scheme| waxseal_signing::check_scheme(uri, scheme));
                check.err().map(|error| error.to_string())
            }),
        };
        findings.extend(problem.map(|problem| format!("{whose}: {problem}")));
    }
    findings
}

/// What is wrong with the plan itself, as far as that can be known without private keys.
pub(crate) fn plan(plan: &PlanFile, current: Option<&Current>) -> Vec<String> {
    let problem = |(whose, key, _): (&str, &KeyPlan, Scheme)| {
        let checked = match key {
            KeyPlan::Public(path) => read_public(path).map(drop),
            KeyPlan::Present => present(whose, current),
            KeyPlan::New | KeyPlan::There(_) => Ok(()),
        };
        checked.err().map(|error| format!("{whose}: {error:#}"))
    };
    keys(plan).filter_map(problem).chain(delegations(plan, current)).collect()
}

/// Every key of a plan, and whose it is.
fn keys(plan: &PlanFile) -> impl Iterator<Item = (&str, &KeyPlan, Scheme)> {
    let holders = plan.root.holders.iter().map(|it| (it.name.as_str(), &it.key, it.scheme.0));
    holders.chain([(ONLINE, &plan.online.key, plan.online.scheme.0)])
}

/// Whether what is published has such a key.
fn present(whose: &str, current: Option<&Current>) -> anyhow::Result<()> {
    let Some(current) = current else {
        anyhow::bail!("the plan says `present`: name what is published with --from")
    };
    match whose {
        ONLINE => current.online().map(drop),
        name => current.holder(name).map(drop),
    }
}

/// Whether targets and bins can be as the plan says, as far as that can be known without keys.
fn delegations(plan: &PlanFile, current: Option<&Current>) -> Option<String> {
    let Some(current) = current else {
        let renews = plan.targets_and_bins.renew;
        return (!renews).then(|| {
            "`renew = false` leaves targets and bins as they are, and nothing is published yet: name what \
             is published with --from, or say `renew = true`"
                .to_owned()
        });
    };
    let (before, after) = (current.offline.bins(), plan.bins().ok()?);
    if before == after {
        return None;
    }
    if !plan.targets_and_bins.renew {
        return Some("the bins change, and `renew = false` leaves them: say `renew = true`".into());
    }
    let vanish = plan.online.key == KeyPlan::Present && !before.go_on_in(after);
    vanish.then(|| {
        format!(
            "with {} bins in place of {} roles vanish that clients know, who refuse that as a rollback \
             unless the online key changes as well: plan a new one, `key = \"new\"` under [online]",
            after.count(),
            before.count()
        )
    })
}

//! The ceremony itself: one question at a time, and every answer can be taken back until all is signed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;
use waxseal_repository::ceremony::{
    self, Ceremony, Holder, OneTimeKeys, Plan, Signers, Succession,
};
use waxseal_signing::{
    KeyError, KeyUri, Passphrases, PrivateKey, Question, Scheme, Secret, Wanted,
};
use waxseal_tuf::{PublicKey, Signer};

use super::conversation::{Answer, Conversation, Who, said_no};
use super::current::Current;
use super::plan_file::{HolderPlan, KeyPlan, PlanFile, slug};
use super::sheet::both_forms;
use crate::failure::{self, Failure};

/// A public key, and what signs with it where that is at hand.
pub(crate) type KnownKey = (PublicKey, Option<Box<dyn Signer>>);

/// Where keys come from that are not made here.
pub(crate) trait Keys {
    /// Opens a key that is there; in a rehearsal, one in its place.
    fn open(&self, uri: &KeyUri, scheme: Scheme) -> anyhow::Result<Box<dyn Signer>>;

    /// The public half of a key that is elsewhere, and in a rehearsal the key in its place.
    fn public(&self, path: &Path) -> anyhow::Result<KnownKey>;

    /// The key of a holder of the published root, in a rehearsal of the one in its place.
    fn present(&self, name: &str, talk: &mut Conversation) -> anyhow::Result<Answer<KnownKey>>;

    /// Those root keys of holders who go that are at hand.
    fn leaving(&self) -> Vec<&dyn Signer>;

    /// Whoever is asked for passphrases.
    fn passphrases(&self) -> &dyn Passphrases;
}

/// A ceremony that is being held.
pub(crate) struct Held<'a> {
    plan: &'a PlanFile,
    current: Option<&'a Current>,
    succession: Succession,
    keys: &'a dyn Keys,
    /// Where new key files are written.
    folder: &'a Path,
    talk: &'a mut Conversation,
    holders: Vec<Option<HolderKey>>,
    online: Option<OnlineKey>,
}

/// A root key at a ceremony.
pub(crate) struct HolderKey {
    pub(crate) holder: Holder,
    /// `None`: signs later.
    signer: Option<Box<dyn Signer>>,
    /// The file that was made for it.
    pub(crate) file: Option<PathBuf>,
}

/// The online key at a ceremony.
pub(crate) struct OnlineKey {
    pub(crate) key: PublicKey,
    /// The file that was made for it.
    pub(crate) file: Option<PathBuf>,
}

/// What a ceremony made.
pub(crate) struct Made {
    pub(crate) ceremony: Ceremony,
    pub(crate) holders: Vec<HolderKey>,
    pub(crate) online: OnlineKey,
    pub(crate) time: Timestamp,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Clock,
    Current,
    Plan,
    Holder(usize),
    Online,
    Sign,
}

impl<'a> Held<'a> {
    pub(crate) fn new(
        plan: &'a PlanFile,
        (current, succession): (Option<&'a Current>, Succession),
        keys: &'a dyn Keys,
        folder: &'a Path,
        talk: &'a mut Conversation,
    ) -> Self {
        let holders = plan.root.holders.iter().map(|_| None).collect();
        Self { plan, current, succession, keys, folder, talk, holders, online: None }
    }

    /// Holds it to its end.
    pub(crate) fn run(mut self) -> anyhow::Result<Made> {
        let mut steps = vec![Step::Clock];
        steps.extend(self.current.map(|_| Step::Current));
        steps.push(Step::Plan);
        steps.extend((0..self.holders.len()).map(Step::Holder));
        steps.extend([Step::Online, Step::Sign]);
        let mut at = 0;
        while let Some(step) = steps.get(at) {
            match self.step(*step)? {
                Answer::Given(()) => at += 1,
                Answer::Back if at == 0 => self.talk.say("This is the first step."),
                Answer::Back => {
                    at -= 1;
                    self.undo(steps[at])?;
                }
            }
            if at == steps.len() {
                match self.signed() {
                    Ok((ceremony, time)) => return self.made(ceremony, time),
                    // A token that was taken out, say: with the other answers as they are.
                    Err(error) if self.can_be_repeated(&error) => {
                        self.talk.say(&format!("Nothing was signed: {}", failure::text(&error)));
                        at -= 1;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        anyhow::bail!("the ceremony has no steps")
    }

    fn step(&mut self, step: Step) -> anyhow::Result<Answer<()>> {
        match step {
            Step::Clock => self.clock(),
            Step::Current => self.show_current(),
            Step::Plan => self.show_plan(),
            Step::Holder(number) => self.holder(number),
            Step::Online => self.online_key(),
            Step::Sign => self.confirm_all(),
        }
    }

    /// Takes back what a step made.
    fn undo(&mut self, step: Step) -> anyhow::Result<()> {
        let file = match step {
            Step::Holder(number) => self.holders[number].take().and_then(|key| key.file),
            Step::Online => self.online.take().and_then(|key| key.file),
            Step::Clock | Step::Current | Step::Plan | Step::Sign => None,
        };
        if let Some(file) = file {
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
            let name = file.file_name().unwrap_or_default().display();
            self.talk.say(&format!("Removed {name}: it is made anew."));
        }
        Ok(())
    }

    fn clock(&mut self) -> anyhow::Result<Answer<()>> {
        self.talk.heading("The clock");
        let now = Timestamp::now().strftime("%A, %Y-%m-%d %H:%M UTC");
        self.talk.say(&format!(
            "This machine's clock says {now}. Expiry times are counted from it, and clients refuse what has \
             expired."
        ));
        self.talk.confirm("Is that right, to some minutes?")
    }

    fn show_current(&mut self) -> anyhow::Result<Answer<()>> {
        let Some(current) = self.current else { return Ok(Answer::Given(())) };
        self.talk.heading("What is published");
        let root = current.offline.root();
        self.talk.say(&format!(
            "Root version {}, which expires on {}; {} of its {} holders must sign the next one.",
            root.version,
            root.expires.strftime("%Y-%m-%d"),
            root.roles.root.threshold,
            root.roles.root.keyids.len()
        ));
        let fingerprint = waxseal_client::Fingerprint::of(&current.first_root);
        let version = super::current::claims(&current.first_root)?.version;
        self.talk.say(&format!("It follows from root version {version}, with the fingerprint"));
        self.talk.say_all(&both_forms(&fingerprint.to_string()));
        self.talk.confirm("Is that the root on the sheet of the ceremony before?")
    }

    fn show_plan(&mut self) -> anyhow::Result<Answer<()>> {
        self.talk.heading("The plan");
        self.talk.say_all(&described(self.plan, self.succession, self.current.is_some()));
        self.talk.confirm("Is this what you all have agreed on?")
    }

    fn holder(&mut self, number: usize) -> anyhow::Result<Answer<()>> {
        let HolderPlan { name, key, .. } = &self.plan.root.holders[number];
        let of = self.holders.len();
        self.talk.heading(&format!("Root key {} of {of}: {name}", number + 1));
        loop {
            let begin = match key {
                KeyPlan::New => Some(format!(
                    "{name}, please come to the keyboard. A key is made for you; choose a passphrase that \
                     you will know in a year, and that nobody else knows."
                )),
                KeyPlan::There(uri) => Some(format!("{name}, please have your key at hand: {uri}")),
                KeyPlan::Public(_) => {
                    self.talk.say(&format!("The key of {name} is elsewhere, and signs later."));
                    None
                }
                KeyPlan::Present => None,
            };
            if let Some(begin) = begin {
                self.talk.say(&begin);
                if self.talk.confirm("Are you there?")? == Answer::Back {
                    return Ok(Answer::Back);
                }
            }
            let made = self.repeated(|this| this.root_key(number))?;
            let Answer::Given(Some(made)) = made else { return Ok(Answer::Back) };
            self.talk.say(&format!("The root key of {name}:"));
            self.talk.say_all(&both_forms(made.holder.key.default_keyid().as_str()));
            self.holders[number] = Some(made);
            let question = format!("{name}, read the words out. Do all others see the same?");
            if self.talk.confirm(&question)? == Answer::Given(()) {
                return Ok(Answer::Given(()));
            }
            self.undo(Step::Holder(number))?;
            if matches!(key, KeyPlan::Public(_)) {
                return Ok(Answer::Back);
            }
        }
    }

    /// Makes or opens it; `None`: back to the step before.
    fn root_key(&mut self, number: usize) -> anyhow::Result<Option<HolderKey>> {
        let HolderPlan { name, key, scheme } = &self.plan.root.holders[number];
        let (key, signer, file) = match key {
            KeyPlan::New => {
                let path = self.folder.join(format!("root-{}.pem", slug(name)));
                let signer = self.new_key(&path, scheme.0, &format!("the root key of {name}"))?;
                (signer.public_key().clone(), Some(signer), Some(path))
            }
            KeyPlan::There(uri) => {
                let signer = self.keys.open(uri, scheme.0)?;
                (signer.public_key().clone(), Some(signer), None)
            }
            KeyPlan::Public(path) => {
                let (public, signer) = self.keys.public(path)?;
                (public, signer, None)
            }
            KeyPlan::Present => match self.keys.present(name, self.talk)? {
                Answer::Given((public, signer)) => (public, signer, None),
                Answer::Back => return Ok(None),
            },
        };
        Ok(Some(HolderKey { holder: Holder { name: name.clone(), key }, signer, file }))
    }

    fn online_key(&mut self) -> anyhow::Result<Answer<()>> {
        self.talk.heading("The online key");
        loop {
            let begin = match &self.plan.online.key {
                KeyPlan::New => Some(
                    "The key that the server signs with is made now. Its passphrase goes to the server's \
                     operators."
                        .to_owned(),
                ),
                KeyPlan::There(uri) => Some(format!("It is opened, to see that it is there: {uri}")),
                KeyPlan::Public(_) | KeyPlan::Present => None,
            };
            if let Some(begin) = &begin {
                self.talk.say(begin);
                if self.talk.confirm("Is whoever knows its passphrase or PIN there?")?
                    == Answer::Back
                {
                    return Ok(Answer::Back);
                }
            }
            let made = self.repeated(|this| this.opened_online_key())?;
            let Answer::Given(made) = made else { return Ok(Answer::Back) };
            self.talk.say("The online key:");
            self.talk.say_all(&both_forms(made.key.default_keyid().as_str()));
            self.online = Some(made);
            if self.talk.confirm("Do all see the same?")? == Answer::Given(()) {
                return Ok(Answer::Given(()));
            }
            self.undo(Step::Online)?;
            if begin.is_none() {
                return Ok(Answer::Back);
            }
        }
    }

    fn opened_online_key(&self) -> anyhow::Result<OnlineKey> {
        let scheme = self.plan.online.scheme.0;
        let (key, file) = match &self.plan.online.key {
            KeyPlan::New => {
                let path = self.folder.join("online.pem");
                let signer = self.new_key(&path, scheme, "the online key")?;
                (signer.public_key().clone(), Some(path))
            }
            KeyPlan::There(uri) => (self.keys.open(uri, scheme)?.public_key().clone(), None),
            KeyPlan::Public(path) => (self.keys.public(path)?.0, None),
            KeyPlan::Present => {
                let current = self.current.context(
                    "the plan says `present` for the online key, and nothing is published yet",
                )?;
                (current.online()?, None)
            }
        };
        Ok(OnlineKey { key, file })
    }

    /// Does what needs a key, and once more where that failed and somebody can see to it: a PIN that was
    /// mistyped, a token that is not in, a stick with another key. Nothing of the steps before is lost.
    fn repeated<T>(
        &mut self,
        work: impl Fn(&mut Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<Answer<T>> {
        loop {
            let error = match work(self) {
                Ok(made) => return Ok(Answer::Given(made)),
                Err(error) => error,
            };
            if !self.can_be_repeated(&error) {
                return Err(error);
            }
            self.talk.say(&format!("That did not work: {}", failure::text(&error)));
            if self.talk.confirm("Nothing is lost. Try it again?")? == Answer::Back {
                return Ok(Answer::Back);
            }
        }
    }

    /// Not where somebody said no, closed the terminal or typed Ctrl-C at a hidden question.
    fn can_be_repeated(&self, error: &anyhow::Error) -> bool {
        let ended = error.chain().any(|cause| {
            let key = cause.downcast_ref::<KeyError>();
            cause.is::<Failure>() || key.is_some_and(|key| matches!(key, KeyError::Ask { .. }))
        });
        self.talk.who() == Who::Person && !ended
    }

    fn new_key(&self, path: &Path, scheme: Scheme, whose: &str) -> anyhow::Result<Box<dyn Signer>> {
        let uri = KeyUri::file(path);
        let asking = Asking { inner: self.keys.passphrases(), place: whose };
        let passphrases = Remembering::new(&asking);
        waxseal_signing::generate(&uri, scheme, &passphrases)?;
        // With the passphrase that was chosen a moment ago.
        let opened = waxseal_signing::open(&uri, &passphrases);
        if opened.is_err() {
            fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(opened?)
    }

    fn confirm_all(&mut self) -> anyhow::Result<Answer<()>> {
        self.talk.heading("Before anything is signed");
        let now: Vec<_> =
            self.holders.iter().flatten().filter(|key| key.signer.is_some()).collect();
        let later: Vec<_> =
            self.holders.iter().flatten().filter(|key| key.signer.is_none()).collect();
        let names = |keys: &[&HolderKey]| {
            let names: Vec<_> = keys.iter().map(|key| key.holder.name.clone()).collect();
            if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
        };
        let (now, later) = (names(&now), names(&later));
        self.talk.say(&format!("These sign root now: {now}. These later: {later}."));
        if self.plan.targets_and_bins.renew {
            self.talk.say(
                "Two keys for targets and two for bins are made in memory, sign once, and are gone. From here \
                 on there is no way back.",
            );
        }
        self.talk.confirm("Sign?")
    }

    fn signed(&self) -> anyhow::Result<(Ceremony, Timestamp)> {
        let holders: Vec<_> = self.holders.iter().flatten().collect();
        let online = self.online.as_ref().context("the online key was not asked for")?;
        let plan = Plan {
            holders: holders.iter().map(|key| key.holder.clone()).collect(),
            root_threshold: self.plan.root.threshold,
            online: online.key.clone(),
            bins: self.plan.bins()?,
            lifetimes: self.plan.lifetimes(),
        };
        let time = Timestamp::now();
        let one_time = self.plan.targets_and_bins.renew.then(OneTime::make).transpose()?;
        let one_time = one_time.as_ref().map(|keys| (signers(&keys.targets), signers(&keys.bins)));
        let one_time = one_time.as_ref().map(|(targets, bins)| OneTimeKeys { targets, bins });
        let mut root: Vec<&dyn Signer> =
            holders.iter().filter_map(|key| key.signer.as_deref()).collect();
        root.extend(self.keys.leaving());
        let before = self.current.map(|current| (&current.offline, self.succession));
        let ceremony = ceremony::perform(&plan, before, Signers { root: &root, one_time }, time)?;
        Ok((ceremony, time))
    }

    fn made(self, ceremony: Ceremony, time: Timestamp) -> anyhow::Result<Made> {
        self.talk.stamp(time);
        self.talk.say(match ceremony.delegations {
            Some(_) => "Signed. The one-time keys are gone.",
            None => "Signed.",
        });
        let holders = self.holders.into_iter().flatten().collect();
        let online = self.online.context("the online key was not asked for")?;
        Ok(Made { ceremony, holders, online, time })
    }
}

/// The one-time keys of targets and bins (PEP 458), which end with this value.
struct OneTime {
    targets: [PrivateKey; 2],
    bins: [PrivateKey; 2],
}

impl OneTime {
    fn make() -> anyhow::Result<Self> {
        let key = || PrivateKey::generate(Scheme::Ed25519);
        Ok(Self { targets: [key()?, key()?], bins: [key()?, key()?] })
    }
}

fn signers(keys: &[PrivateKey]) -> Vec<&dyn Signer> {
    keys.iter().map(|key| key as &dyn Signer).collect()
}

/// Asks for the passphrase of a key by whose it is, not by a file that is put elsewhere afterwards.
pub(crate) struct Asking<'a> {
    pub(crate) inner: &'a dyn Passphrases,
    pub(crate) place: &'a str,
}

impl Passphrases for Asking<'_> {
    fn ask(&self, question: &Question<'_>) -> std::io::Result<Option<Secret>> {
        self.inner.ask(&Question { place: self.place, ..question.clone() })
    }
}

/// Answers with the passphrase that was chosen last, so that nobody types it a third time.
struct Remembering<'a> {
    inner: &'a dyn Passphrases,
    chosen: std::sync::Mutex<Option<Secret>>,
}

impl<'a> Remembering<'a> {
    fn new(inner: &'a dyn Passphrases) -> Self {
        Self { inner, chosen: std::sync::Mutex::default() }
    }
}

impl Passphrases for Remembering<'_> {
    fn ask(&self, question: &Question<'_>) -> std::io::Result<Option<Secret>> {
        let mut chosen = self.chosen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match (question.wanted, &*chosen) {
            (Wanted::Passphrase, Some(secret)) => return Ok(Some(secret.clone())),
            (Wanted::NewPassphrase | Wanted::Repetition | Wanted::Passphrase | Wanted::Pin, _) => {}
        }
        let answer = self.inner.ask(question)?;
        if question.wanted == Wanted::NewPassphrase {
            chosen.clone_from(&answer);
        }
        Ok(answer)
    }
}

/// The keys of a real ceremony.
pub(crate) struct RealKeys<'a> {
    pub(crate) current: Option<&'a Current>,
    pub(crate) passphrases: &'a dyn Passphrases,
}

impl Keys for RealKeys<'_> {
    fn open(&self, uri: &KeyUri, _: Scheme) -> anyhow::Result<Box<dyn Signer>> {
        Ok(waxseal_signing::open(uri, self.passphrases)?)
    }

    fn public(&self, path: &Path) -> anyhow::Result<KnownKey> {
        Ok((read_public(path)?, None))
    }

    fn present(&self, name: &str, talk: &mut Conversation) -> anyhow::Result<Answer<KnownKey>> {
        let current = self.current.context(
            "the plan says `present` for a root key, and nothing is published yet: say `new`",
        )?;
        let (_, key) = current.holder(name)?;
        let question = format!(
            "{name}, where is your key ({}PATH or pkcs11:...)? Enter alone: you sign later.",
            "file:"
        );
        let answer = match talk.who() {
            Who::Person => talk.ask(&question, "")?,
            Who::Nobody => String::new(),
        };
        match answer.as_str() {
            "" => return Ok(Answer::Given((key, None))),
            "back" | "b" => return Ok(Answer::Back),
            "no" | "n" => return Err(said_no().into()),
            _ => {}
        }
        let signer = waxseal_signing::open(&answer.parse()?, self.passphrases)?;
        anyhow::ensure!(
            signer.public_key() == &key,
            "the key at {answer} is not the one that the published root has of {name}"
        );
        Ok(Answer::Given((key, Some(signer))))
    }

    fn leaving(&self) -> Vec<&dyn Signer> {
        Vec::new()
    }

    fn passphrases(&self) -> &dyn Passphrases {
        self.passphrases
    }
}

/// Reads the public half of a key, as `waxseal key generate --public` writes it.
pub(crate) fn read_public(path: &Path) -> anyhow::Result<PublicKey> {
    let pem = fs::read_to_string(path)
        .with_context(|| format!("cannot read the public key {}", path.display()))?;
    let key = PublicKey::from_pem(&pem);
    key.with_context(|| format!("{} is not a public key in PEM", path.display()))
}

/// A plan as people read it.
pub(crate) fn described(plan: &PlanFile, how: Succession, follows: bool) -> Vec<String> {
    let mut lines = vec![format!("For {}:", plan.name)];
    lines.push(format!(
        "  root     {} of {} holders sign; valid for {} days",
        plan.root.threshold,
        plan.root.holders.len(),
        plan.root.valid_days
    ));
    for HolderPlan { name, key, .. } in &plan.root.holders {
        lines.push(format!("             {name}: {key}"));
    }
    let delegations = &plan.targets_and_bins;
    match delegations.renew {
        true => lines.push(format!(
            "  targets  new one-time keys, 2 of 2; valid for {} days\n  bins     new one-time keys, 2 of 2; \
             {} bins, {}; valid for {} days",
            delegations.targets_valid_days,
            delegations.bins,
            match delegations.style.0 {
                waxseal_repository::bins::BinStyle::Succinct => "succinct",
                waxseal_repository::bins::BinStyle::Classic => "classic",
            },
            delegations.bins_valid_days
        )),
        false => lines.push("  targets and bins stay as they are".to_owned()),
    }
    lines.push(format!(
        "  online   {}; signs for {} hours",
        plan.online.key, plan.online.valid_hours
    ));
    if follows {
        lines.push(match how {
            Succession::Planned => {
                "  The keys that go are trusted until the new ones are in use.".to_owned()
            }
            Succession::Compromise => {
                "  After a compromise: the keys that go are trusted no more, from the first moment on."
                    .to_owned()
            }
        });
    }
    lines.iter().flat_map(|line| line.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

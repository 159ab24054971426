//! The files of layout `index`: no bin names them, the pages that bins name do.

use std::collections::BTreeMap;

use waxseal_tuf::TargetPath;
use waxseal_tuf::hash::{Hashes, Sha256};
use waxseal_tuf::metadata::TargetFile;

use super::Auditor;
use super::pages::{Line, is_compared, listed_files, own_page, read_page};
use super::report::Kind;
use super::tally::{Entry, half};
use super::targets::{Pass, Target, inode};
use crate::error::Error;
use crate::layout::Layout;
use crate::store::StoreKey;

impl Auditor<'_> {
    /// Reads the pages that vouch for their files once more, now that it is known what else is a
    /// target, and looks at each file that only its page names.
    pub(super) fn vouched(&mut self, pass: &mut Pass<'_>) -> Result<(), Error> {
        let bins = pass.signed.bins;
        if pass.own_files > 0 {
            self.remember_file_targets(pass)?;
        }
        for bin in 0..bins.count() {
            self.progress("bins, for what pages vouch for", bin.into(), bins.count().into());
            let claims = self.claims(pass.signed, bin)?;
            let (role, sha256) = (bins.role(bin), pages_digest(&claims));
            self.begin_large(&role, sha256);
            for (path, file) in claims {
                let Ok(path) = TargetPath::new(path) else { continue };
                let project = own_page(pass, &path).filter(|_| Layout::vouches(&file));
                let Some(project) = project else { continue };
                // What is wrong with a page was found before.
                let page = self.page_bytes(&path, &file)?.map(|bytes| read_page(project, &bytes));
                let Some(Ok(page)) = page else { continue };
                for line in listed_files(&page) {
                    self.vouched_file(pass, &line)?;
                }
            }
            self.end_large(role, sha256)?;
        }
        Ok(())
    }

    fn remember_file_targets(&mut self, pass: &mut Pass<'_>) -> Result<(), Error> {
        for bin in 0..pass.signed.bins.count() {
            for path in self.claims(pass.signed, bin)?.into_keys() {
                let Ok(path) = TargetPath::new(path) else { continue };
                if path.as_str().starts_with("packages/") && is_compared(pass, &path, false) {
                    pass.file_targets.insert(half(path.as_str().as_bytes()));
                }
            }
        }
        Ok(())
    }

    /// A file on a page that vouches for it. One that is a target as well was looked at as that, and is
    /// only to be the same.
    fn vouched_file(&mut self, pass: &mut Pass<'_>, line: &Line) -> Result<(), Error> {
        let (path, sha256, length) = line;
        let path = TargetPath::new(path.clone())?;
        let bin = pass.signed.bins.bin_of(&path);
        if pass.file_targets.contains(&half(path.as_str().as_bytes())) {
            pass.files.list(bin, &Entry { path: path.as_str(), sha256, length: *length });
            return Ok(());
        }
        // It was written from one.
        let Ok(digest) = sha256.parse::<Sha256>() else { return Ok(()) };
        let key = StoreKey::Target { path: path.clone(), digest: digest.into() };
        let object = match self.store.open(&key) {
            Ok(Some(object)) => object,
            Ok(None) => {
                self.find(
                    Kind::TargetMissing,
                    key.path(),
                    "is not there, and its page vouches for it",
                );
                return Ok(());
            }
            Err(error) => return self.unreadable(&key, error),
        };
        self.report.counts.vouched_files += 1;
        pass.found.objects += 1;
        pass.found.object_bytes += object.length;
        let inode = inode(&object);
        // A page does not say how long core metadata is.
        let length = length.unwrap_or(object.length);
        let file = TargetFile { length, hashes: Hashes::sha256(digest), custom: None };
        if self.object(&key, &file, object, false).is_some() {
            let target = Target { bin, path: &path, file: &file, sha256 };
            self.plain_name(pass, &target, inode, true)?;
        }
        Ok(())
    }
}

/// Stands for the pages of a bin, and with them for all files that they vouch for.
fn pages_digest(claims: &BTreeMap<String, TargetFile>) -> Sha256 {
    let mut text = Vec::new();
    for (path, file) in claims {
        text.extend_from_slice(path.as_bytes());
        text.extend_from_slice(&file.to_canonical());
    }
    Sha256::of(&text)
}

use std::io::{Read as _, Write as _};

use aws_lc_rs::digest::{Context, SHA256};
use tempfile::NamedTempFile;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::{TargetFile, TargetPath};

use super::RestoreError;
use crate::archive::finish_digest;
use crate::error::{Error, StoreError};
use crate::store::{Store, StoreKey};

/// The most bytes of a page.
const PAGE_LIMIT: u64 = 256 << 20;
/// How many bytes are read at a time.
const BUFFER: usize = 256 << 10;

/// Where the bytes of a target may be: in the index's own store, and in mirrors and backups. They are
/// believed by their digest alone.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// The index's own.
    pub store: &'a dyn Store,
    /// The others, which are asked in their order.
    pub copies: &'a [&'a dyn Store],
}

impl Places<'_> {
    /// The bytes of a page; `None` where no place has them.
    pub(super) fn page(&self, path: &TargetPath, file: &TargetFile) -> Option<Vec<u8>> {
        let digest = file.hashes.known().next()?;
        let key = StoreKey::Target { path: path.clone(), digest };
        // One that cannot be asked has it not.
        let read = |store: &dyn Store| store.read(&key, PAGE_LIMIT).ok().flatten();
        let stores = std::iter::once(self.store).chain(self.copies.iter().copied());
        stores.filter_map(read).find(|bytes| file.hashes.are_of(bytes))
    }

    /// Has the index's own store hold a target, and its file under its plain name if that is there with
    /// other bytes gives way. The length of the target.
    pub(super) fn bring(&self, path: &TargetPath, digest: Sha256) -> Result<u64, RestoreError> {
        let key = StoreKey::Target { path: path.clone(), digest: digest.into() };
        let plain = StoreKey::File(path.clone());
        if self.store.open(&plain).map_err(Error::from)?.is_some()
            && length_if_right(self.store, &plain, digest)?.is_none()
        {
            self.store.remove(&[plain]).map_err(Error::from)?;
        }
        if let Some(length) = length_if_right(self.store, &key, digest)? {
            return Ok(length);
        }
        for copy in self.copies {
            if let Some((spooled, length)) = self.fetch(*copy, &key, digest)? {
                // Somebody may have put other bytes under its name.
                self.store.remove(std::slice::from_ref(&key)).map_err(Error::from)?;
                self.store.create_from_file(&key, spooled, &[]).map_err(Error::from)?;
                return Ok(length);
            }
        }
        let problem =
            "its bytes are in none of the places: name a mirror or a backup that has them with \
                       --copies"
                .to_owned();
        Err(RestoreError::Lost { path: path.to_string(), problem })
    }

    /// The bytes that another place has under this name, if they are the right ones.
    fn fetch(
        &self,
        from: &dyn Store,
        key: &StoreKey,
        digest: Sha256,
    ) -> Result<Option<(NamedTempFile, u64)>, Error> {
        let Some(mut object) = from.open(key)? else { return Ok(None) };
        let mut spooled = self.store.spool()?;
        let failed =
            |action| move |source| StoreError::Io { action, path: key.path().into(), source };
        let (mut hashing, mut length) = (Context::new(&SHA256), 0);
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = object.reader.read(&mut buffer).map_err(failed("read"))?;
            if read == 0 {
                break;
            }
            length += read as u64;
            hashing.update(&buffer[..read]);
            spooled.write_all(&buffer[..read]).map_err(failed("write"))?;
        }
        Ok((finish_digest(hashing) == digest).then_some((spooled, length)))
    }
}

/// The length of an object if its bytes have this digest.
fn length_if_right(
    store: &dyn Store,
    key: &StoreKey,
    digest: Sha256,
) -> Result<Option<u64>, Error> {
    let Some(mut object) = store.open(key)? else { return Ok(None) };
    let mut hashing = Context::new(&SHA256);
    let mut buffer = vec![0; BUFFER];
    loop {
        let path = key.path().into();
        let failed = |source| StoreError::Io { action: "read", path, source };
        match object.reader.read(&mut buffer).map_err(failed)? {
            0 => break,
            read => hashing.update(&buffer[..read]),
        }
    }
    Ok((finish_digest(hashing) == digest).then_some(object.length))
}

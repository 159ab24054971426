//! The fields of the upload form. Those that matter are kept, the file goes to the store's spool,
//! and the rest, which repeats the file's core metadata, is skipped without being kept.

use waxseal_index::DistributionFilename;

use crate::error::{Error, shown};
use crate::multipart::{Multipart, Part};
use crate::spool::{Algorithm, Spool, Spooled};
use crate::state::AppState;

/// Most bytes of a field that is kept.
const FIELD_LIMIT: usize = 1024;

/// What an upload says about itself.
#[derive(Debug, Default)]
pub(super) struct Form {
    action: Option<String>,
    protocol_version: Option<String>,
    filetype: Option<String>,
    name: Option<String>,
    version: Option<String>,
    sha256_digest: Option<String>,
    blake2_256_digest: Option<String>,
    md5_digest: Option<String>,
}

/// A form with its file.
pub(super) struct Received {
    pub(super) form: Form,
    pub(super) filename: DistributionFilename,
    pub(super) file: Spooled,
}

impl Form {
    /// Reads a form, its fields in any order, and checks what can be checked without opening the
    /// archive. Besides the file it may have `fields_limit` bytes.
    pub(super) async fn read(
        state: &AppState,
        multipart: &mut Multipart,
        fields_limit: u64,
    ) -> Result<Received, Error> {
        let mut form = Self::default();
        let mut content = None;
        let mut fields = Fields { left: fields_limit, limit: fields_limit };
        while let Some(part) = multipart.next_part().await? {
            if part.name == "content" {
                if content.is_some() {
                    return Err(Error::RepeatedField { field: "content" });
                }
                content = Some(receive(state, multipart, &part).await?);
            } else if let Some((field, slot)) = form.slot(&part.name) {
                if slot.is_some() {
                    return Err(Error::RepeatedField { field });
                }
                *slot = Some(fields.keep(multipart, field).await?);
            } else {
                fields.skip(multipart).await?;
            }
        }
        form.check_protocol()?;
        let (filename, file) = content.ok_or(Error::MissingField { field: "content" })?;
        form.check_digests(&file)?;
        Ok(Received { form, filename, file })
    }

    /// The field `name`.
    pub(super) fn name(&self) -> Result<&str, Error> {
        self.name.as_deref().ok_or(Error::MissingField { field: "name" })
    }

    /// The field `version`.
    pub(super) fn version(&self) -> Result<&str, Error> {
        self.version.as_deref().ok_or(Error::MissingField { field: "version" })
    }

    /// The field `filetype`.
    pub(super) fn filetype(&self) -> Result<&str, Error> {
        self.filetype.as_deref().ok_or(Error::MissingField { field: "filetype" })
    }

    /// Where a field that matters is kept.
    fn slot(&mut self, name: &str) -> Option<(&'static str, &mut Option<String>)> {
        Some(match name {
            ":action" => (":action", &mut self.action),
            "protocol_version" => ("protocol_version", &mut self.protocol_version),
            "filetype" => ("filetype", &mut self.filetype),
            "name" => ("name", &mut self.name),
            "version" => ("version", &mut self.version),
            "sha256_digest" => ("sha256_digest", &mut self.sha256_digest),
            "blake2_256_digest" => ("blake2_256_digest", &mut self.blake2_256_digest),
            "md5_digest" => ("md5_digest", &mut self.md5_digest),
            _ => return None,
        })
    }

    fn check_protocol(&self) -> Result<(), Error> {
        let action = self.action.as_deref().ok_or(Error::MissingField { field: ":action" })?;
        let protocol = self.protocol_version.as_deref().unwrap_or("1");
        for (field, value, expected) in
            [(":action", action, "file_upload"), ("protocol_version", protocol, "1")]
        {
            if value != expected {
                return Err(Error::FieldValue { field, value: shown(value), expected });
            }
        }
        self.name()?;
        self.version()?;
        self.filetype()?;
        Ok(())
    }

    /// Every digest in the form must be the file's, and there must be one.
    fn check_digests(&self, file: &Spooled) -> Result<(), Error> {
        let digests = [
            (Algorithm::Sha256, &self.sha256_digest),
            (Algorithm::Blake2b256, &self.blake2_256_digest),
            (Algorithm::Md5, &self.md5_digest),
        ];
        let mut claimed = digests
            .into_iter()
            .filter_map(|(algorithm, claimed)| Some((algorithm, claimed.as_deref()?)))
            .filter(|(_, claimed)| !claimed.is_empty())
            .peekable();
        if claimed.peek().is_none() {
            return Err(Error::MissingField { field: "sha256_digest" });
        }
        for (algorithm, claimed) in claimed {
            file.check(algorithm, claimed)?;
        }
        Ok(())
    }
}

/// The budget for everything that is not the file.
struct Fields {
    left: u64,
    limit: u64,
}

impl Fields {
    async fn keep(
        &mut self,
        multipart: &mut Multipart,
        field: &'static str,
    ) -> Result<String, Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = multipart.chunk().await? {
            self.spend(chunk.len())?;
            bytes.extend_from_slice(&chunk);
            if bytes.len() > FIELD_LIMIT {
                let problem = format!("the field {field} has more than {FIELD_LIMIT} bytes");
                return Err(Error::Form { problem });
            }
        }
        String::from_utf8(bytes)
            .map_err(|_| Error::Form { problem: format!("the field {field} is not UTF-8") })
    }

    async fn skip(&mut self, multipart: &mut Multipart) -> Result<(), Error> {
        while let Some(chunk) = multipart.chunk().await? {
            self.spend(chunk.len())?;
        }
        Ok(())
    }

    fn spend(&mut self, length: usize) -> Result<(), Error> {
        let over = || Error::TooLarge { what: "the form beside the file", limit: self.limit };
        self.left = self.left.checked_sub(length as u64).ok_or_else(over)?;
        Ok(())
    }
}

/// Takes the file into the spool. A filename that will not do is refused before any byte of it.
async fn receive(
    state: &AppState,
    multipart: &mut Multipart,
    part: &Part,
) -> Result<(DistributionFilename, Spooled), Error> {
    let filename = part.filename.as_deref().ok_or_else(|| Error::Form {
        problem: "the field content has no filename, or one that is not ASCII".to_owned(),
    })?;
    let filename: DistributionFilename = filename.parse()?;
    let mut spool = Spool::new(state).await?;
    while let Some(chunk) = multipart.chunk().await? {
        spool.push(chunk, state.settings.max_upload).await?;
    }
    Ok((filename, spool.finish().await?))
}

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp as Time;

use super::{Common, Keys, Role, RoleKeys, integer, read_keys, write_keys};
use crate::error::FormatError;
use crate::fields::Fields;
use crate::hash::Hashes;
use crate::json::{Element, Object, Value};
use crate::limits::Limits;
use crate::names::{KeyId, RoleName, TargetPath};
use crate::paths::{self, PathHash};

/// The field for [`Targets::name`].
const NAME: &str = "x-waxseal-role";

/// Target files and delegations (TUF 4.5): the top-level targets role and every delegated one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    /// Version, at least 1.
    pub version: u64,
    /// When it expires.
    pub expires: Time,
    /// The role's own name, where the metadata states it. TUF has no such field: one key signs many
    /// bins, snapshot lists no more than their versions, and without it a mirror could serve one bin
    /// for another to hide what that lists. What states a name is accepted under that name alone.
    pub name: Option<RoleName>,
    /// Target files by target path, as metadata spells it.
    pub targets: BTreeMap<String, TargetFile>,
    /// Roles it trusts for some or all paths.
    pub delegations: Option<Delegations>,
}

/// Length and digests of a target file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetFile {
    /// Length in bytes.
    pub length: u64,
    /// Digests, at least one.
    pub hashes: Hashes,
    /// Whatever the repository adds; not interpreted here.
    pub custom: Option<Value>,
}

/// The delegations of one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegations {
    /// Keys that the roles below name.
    pub keys: Keys,
    /// The roles.
    pub roles: Roles,
}

/// Delegated roles: listed, or computed from the path (TAP 15).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roles {
    /// Listed, in the order in which they are searched.
    Listed(Vec<DelegatedRole>),
    /// Succinct hash bins.
    Succinct(SuccinctRoles),
}

/// One listed delegation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegatedRole {
    /// The role's name.
    pub name: RoleName,
    /// Who signs it.
    pub keys: RoleKeys,
    /// Whether the search for a path it is trusted with ends here.
    pub terminating: bool,
    /// The paths it is trusted with.
    pub paths: Paths,
}

/// The paths a delegation covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Paths {
    /// Shell-style patterns; `*` and `?` do not match `/`.
    Patterns(Vec<String>),
    /// Prefixes of the path's SHA-256 in lower-case hex: classic hash bins.
    HashPrefixes(Vec<String>),
}

/// Succinct hash bins (TAP 15): `2^bit_length` roles named `<prefix>-<bin in hex>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuccinctRoles {
    /// Who signs every bin.
    pub keys: RoleKeys,
    /// Bits of the path's hash that choose the bin: 1 to 32.
    pub bit_length: u8,
    /// What the names of the bins start with.
    pub name_prefix: String,
}

impl SuccinctRoles {
    /// How many bins there are.
    pub fn bins(&self) -> u64 {
        1 << self.bit_length
    }

    /// The bin's role name, its number in hex at the width of the highest one.
    pub fn name(&self, bin: u32) -> RoleName {
        let width = usize::from(self.bit_length).div_ceil(4);
        RoleName::trusted(format!("{}-{bin:0width$x}", self.name_prefix))
    }

    /// The bin that `path` falls into.
    pub fn bin_of(&self, path: &TargetPath) -> u32 {
        PathHash::of(path).bin(self.bit_length)
    }

    fn read(fields: Fields<'_>) -> Result<Self, FormatError> {
        let keys = RoleKeys::read(fields)?;
        let bits = fields.integer("bit_length", 1)?;
        let bit_length = u8::try_from(bits).ok().filter(|bits| *bits <= 32);
        let bit_length = bit_length.ok_or_else(|| FormatError::new("bit_length", "is above 32"))?;
        let name_prefix = fields.string("name_prefix")?.to_owned();
        RoleName::new(name_prefix.as_str())
            .map_err(|error| FormatError::name("name_prefix", &error))?;
        Ok(Self { keys, bit_length, name_prefix })
    }

    fn to_value(&self) -> Value {
        let mut object = Object::default();
        self.keys.write(&mut object);
        object.insert("bit_length", integer(u64::from(self.bit_length)));
        object.insert("name_prefix", self.name_prefix.as_str());
        object.into()
    }
}

impl Delegations {
    /// Who signs `role`, if these delegations name it.
    pub fn role_keys(&self, role: &RoleName) -> Option<&RoleKeys> {
        match &self.roles {
            Roles::Listed(roles) => {
                roles.iter().find(|listed| listed.name == *role).map(|listed| &listed.keys)
            }
            Roles::Succinct(bins) => {
                let number = role.as_str().strip_prefix(&bins.name_prefix)?.strip_prefix('-')?;
                let bin = u32::from_str_radix(number, 16).ok()?;
                (u64::from(bin) < bins.bins() && bins.name(bin) == *role).then_some(&bins.keys)
            }
        }
    }

    /// What finding the roles trusted with `path` costs at the most: steps of matching patterns.
    pub(crate) fn pattern_work(&self, path: &TargetPath) -> u64 {
        let Roles::Listed(roles) = &self.roles else { return 0 };
        let patterns = roles.iter().flat_map(|role| match &role.paths {
            Paths::Patterns(patterns) => patterns.as_slice(),
            Paths::HashPrefixes(_) => &[],
        });
        let bytes: u64 = patterns.map(|pattern| pattern.len() as u64).sum();
        bytes.saturating_mul(path.as_str().len() as u64)
    }

    /// The roles trusted with `path`, in the order of the search, and whether each ends it.
    pub fn roles_for(&self, path: &TargetPath) -> Vec<(RoleName, bool)> {
        match &self.roles {
            Roles::Listed(roles) => {
                let hash = PathHash::of(path);
                let covering =
                    roles.iter().filter(|role| role.paths.covering(path, &hash).is_some());
                covering.map(|role| (role.name.clone(), role.terminating)).collect()
            }
            // TAP 15: a succinct delegation is terminating.
            Roles::Succinct(bins) => vec![(bins.name(bins.bin_of(path)), true)],
        }
    }

    fn read(fields: Fields<'_>, limits: &Limits) -> Result<Self, FormatError> {
        let keys = read_keys(fields, limits)?;
        let roles = match (fields.has("roles"), fields.has("succinct_roles")) {
            (true, false) => Roles::Listed(read_listed(fields)?),
            (false, true) => Roles::Succinct(fields.object("succinct_roles", SuccinctRoles::read)?),
            _ => {
                let problem = "must be there, or succinct_roles, not both";
                return Err(FormatError::new("roles", problem));
            }
        };
        Ok(Self { keys, roles })
    }

    fn to_value(&self) -> Value {
        let mut object = Object::default();
        object.insert("keys", write_keys(&self.keys));
        match &self.roles {
            Roles::Listed(roles) => {
                let roles: Vec<Value> = roles.iter().map(DelegatedRole::to_value).collect();
                object.insert("roles", roles);
            }
            Roles::Succinct(bins) => object.insert("succinct_roles", bins.to_value()),
        }
        object.into()
    }
}

fn read_listed(fields: Fields<'_>) -> Result<Vec<DelegatedRole>, FormatError> {
    let mut names = BTreeSet::new();
    let mut roles = Vec::new();
    for (i, value) in fields.array("roles")?.enumerate() {
        let role = Fields::new(value).and_then(DelegatedRole::read);
        let role = role.map_err(|error| error.within(&format!("roles[{i}]")))?;
        if !names.insert(role.name.clone()) {
            return Err(FormatError::new("roles", format!("lists {} twice", role.name)));
        }
        roles.push(role);
    }
    Ok(roles)
}

impl DelegatedRole {
    fn read(fields: Fields<'_>) -> Result<Self, FormatError> {
        let name = fields.string("name")?;
        if matches!(name, "root" | "timestamp" | "snapshot" | "targets") {
            return Err(FormatError::new("name", format!("{name} is a top-level role")));
        }
        let name = RoleName::new(name).map_err(|error| FormatError::name("name", &error))?;
        let keys = RoleKeys::read(fields)?;
        let terminating = fields.bool("terminating")?;
        let paths = match (fields.has("paths"), fields.has("path_hash_prefixes")) {
            (true, false) => Paths::Patterns(fields.strings("paths")?),
            (false, true) => Paths::HashPrefixes(fields.strings("path_hash_prefixes")?),
            _ => {
                let problem = "must be there, or path_hash_prefixes, not both";
                return Err(FormatError::new("paths", problem));
            }
        };
        Ok(Self { name, keys, terminating, paths })
    }

    fn to_value(&self) -> Value {
        let mut object = Object::default();
        object.insert("name", self.name.as_str());
        self.keys.write(&mut object);
        object.insert("terminating", self.terminating);
        match &self.paths {
            Paths::Patterns(patterns) => object.insert("paths", patterns.clone()),
            Paths::HashPrefixes(prefixes) => {
                object.insert("path_hash_prefixes", prefixes.clone());
            }
        }
        object.into()
    }
}

impl Paths {
    /// The first pattern or prefix that covers the path.
    pub(crate) fn covering(&self, path: &TargetPath, hash: &PathHash) -> Option<&str> {
        let mut all = match self {
            Self::Patterns(all) | Self::HashPrefixes(all) => all.iter().map(String::as_str),
        };
        match self {
            Self::Patterns(_) => all.find(|pattern| paths::glob_matches(pattern, path.as_str())),
            Self::HashPrefixes(_) => all.find(|prefix| hash.hex().starts_with(prefix)),
        }
    }
}

impl Targets {
    /// The target file at `path`, if this role lists it.
    pub fn target(&self, path: &TargetPath) -> Option<&TargetFile> {
        self.targets.get(path.as_str())
    }
}

impl Role for Targets {
    const TYPE: &'static str = "targets";

    fn version(&self) -> u64 {
        self.version
    }

    fn expires(&self) -> Time {
        self.expires
    }

    fn read(fields: Fields<'_>, common: Common<'_>) -> Result<Self, FormatError> {
        let targets = fields.object("targets", |targets| {
            let targets = targets.entries().map(|(path, file)| {
                let file = TargetFile::read(file).map_err(|error| error.within(path))?;
                Ok((path.to_owned(), file))
            });
            targets.collect()
        })?;
        let delegations = match fields.has("delegations") {
            true => {
                let read = |delegations| Delegations::read(delegations, common.limits);
                Some(fields.object("delegations", read)?)
            }
            false => None,
        };
        let name = match fields.has(NAME) {
            true => Some(fields.string(NAME).and_then(|name| {
                RoleName::new(name).map_err(|error| FormatError::name(NAME, &error))
            })?),
            false => None,
        };
        let Common { version, expires, .. } = common;
        Ok(Self { version, expires, name, targets, delegations })
    }

    fn write(&self, object: &mut Object) {
        let targets = self.targets.iter().map(|(path, file)| (path.as_str(), file.to_value()));
        object.insert("targets", targets.collect::<Object>());
        if let Some(name) = &self.name {
            object.insert(NAME, name.as_str());
        }
        if let Some(delegations) = &self.delegations {
            object.insert("delegations", delegations.to_value());
        }
    }
}

impl TargetFile {
    pub(super) fn read(element: Element<'_>) -> Result<Self, FormatError> {
        let fields = Fields::new(element)?;
        let length = fields.integer("length", 0)?;
        let hashes = fields.hashes("hashes")?;
        Ok(Self { length, hashes, custom: fields.optional("custom").map(Element::to_value) })
    }

    pub(super) fn to_value(&self) -> Value {
        let mut object = Object::default();
        object.insert("length", integer(self.length));
        object.insert("hashes", self.hashes.iter().collect::<Object>());
        if let Some(custom) = &self.custom {
            object.insert("custom", custom.clone());
        }
        object.into()
    }
}

impl DelegatedRole {
    /// The keyids that may sign this role.
    pub fn keyids(&self) -> &[KeyId] {
        &self.keys.keyids
    }
}

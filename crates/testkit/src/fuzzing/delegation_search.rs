use std::collections::BTreeMap;
use std::sync::OnceLock;

use waxseal_tuf::hash::{Hashes, Sha256};
use waxseal_tuf::metadata::{
    self, DelegatedRole, Delegations, Keys, MetaFile, Paths, RoleKeys, Roles, SuccinctRoles,
    TargetFile, Targets,
};
use waxseal_tuf::{
    Answer, Error, Limits, RoleName, Search, Signer as _, Step, TargetPath, TrustedMetadata,
    Updater,
};

use super::cursor::Cursor;
use super::patterns::{bin_name, glob_matches, hex_hash};
use crate::simulator::{Simulator, Store, TestKey, drive, role, time};

/// A graph of delegations of the input's choice, and up to three searches in it that share what they
/// verified. Compared with a recursive search that is written as TUF 5.6.7 reads: which role's target is
/// found or why the search is refused, the roles visited and their order, and what is fetched.
pub fn delegation_search(input: &[u8]) {
    let mut input = Cursor::new(input);
    let graph = Graph::read(&mut input);
    let mut trusted = graph.update();
    let mut store = Store::new();
    let mut known = Known::default();
    for (number, path) in graph.paths.iter().enumerate() {
        let delegations = input.one_of(&[32, 0, 1, 2, 4, 7]);
        let limits = Limits { delegations, ..Limits::default() };
        let mut expected = Expected::new(&graph, number, delegations, &mut known);
        let end = expected.search();
        let mut mirror =
            Mirror { graph: &graph, files: &expected.fetches, loaded: vec![], fetched: 0 };
        let result = mirror.search(path, limits, &mut trusted, &mut store);
        assert_eq!(mirror.loaded, expected.loads, "roles not at hand, in order; {graph:?}");
        assert_eq!(mirror.fetched, expected.fetches.len(), "files asked for; {graph:?}");
        match (end, result) {
            (End::Found(node), Ok(file)) => {
                assert_eq!(file, Some(target_of(node)), "the target that {node:?} lists");
            }
            (End::Nowhere | End::Terminated, Ok(file)) => assert_eq!(file, None, "nobody lists it"),
            (End::Refused(slug), Err(error)) => assert_eq!(error.slug(), slug, "{error}"),
            (end, result) => panic!("expected {end:?}, got {result:?}"),
        }
    }
}

/// A role's file: its name, and which of two keys signed it. Two roles may delegate to one name with
/// different keys, and a mirror then has a file for each of them.
type Node = (&'static str, usize);

const TOP: Node = (RoleName::TARGETS, 0);

/// Names of roles, those of some bins among them: so few that three searches keep them all.
const NAMES: &[&str] =
    &["a", "b", "c", "../d", "e/f", "\u{e9}", "bin-0", "bin-1", "bin-3", "bin-07"];

/// Stands for every bin that is not among them.
const NOT_IN_SNAPSHOT: &str = "another bin";

const PATHS: &[char] = &['a', 'b', '/', '.', '-', '\u{e9}'];
const PATTERNS: &[char] = &['*', 'a', 'b', '?', '/', '[', ']', '-', '!', '.', '\u{e9}'];
const SET: &[char] = &['a', 'b', 'c', '-', '!', ']', '.', '\u{e9}'];
const HEX: &[char] =
    &['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f', 'F'];

/// What is wrong with a role's file.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    Missing,
    Unsigned,
    WrongVersion,
    OtherName,
    Expired,
}

#[derive(Debug)]
struct File {
    fault: Fault,
    /// For each path that is searched, whether the role lists it.
    lists: u8,
    edges: Edges,
}

#[derive(Debug)]
enum Edges {
    None,
    Listed(Vec<Edge>),
    Bins { bit_length: u32, key: usize },
}

#[derive(Debug)]
struct Edge {
    to: Node,
    covers: Paths,
    terminating: bool,
}

impl Edge {
    fn covers(&self, path: &str) -> bool {
        match &self.covers {
            Paths::Patterns(patterns) => patterns.iter().any(|pattern| glob_matches(pattern, path)),
            Paths::HashPrefixes(prefixes) => {
                prefixes.iter().any(|prefix| hex_hash(path).starts_with(prefix))
            }
        }
    }
}

#[derive(Debug)]
struct Graph {
    /// What is searched, one after the other.
    paths: Vec<TargetPath>,
    files: BTreeMap<Node, File>,
    unlisted: Option<&'static str>,
}

impl Graph {
    fn read(input: &mut Cursor<'_>) -> Self {
        let mut paths: Vec<TargetPath> = Vec::new();
        for _ in 0..=input.below(3) {
            let path = read_path(input);
            // A second search for the same path would be given the first one's numbers.
            paths.retain(|other| *other != path);
            paths.push(path);
        }
        let mut files = BTreeMap::new();
        for _ in 0..input.below(14) {
            let node = (input.one_of(NAMES), input.below(2));
            let fault = match input.below(24) {
                1 => Fault::Missing,
                2 => Fault::Unsigned,
                3 => Fault::WrongVersion,
                4 => Fault::Expired,
                5 => Fault::OtherName,
                _ => Fault::None,
            };
            files.insert(node, read_file(input, fault, &paths));
        }
        files.insert(TOP, read_file(input, Fault::None, &paths));
        let unlisted = (input.below(8) == 1).then(|| input.one_of(NAMES));
        Self { paths, files, unlisted }
    }

    /// Root to targets of a repository with this graph.
    fn update(&self) -> TrustedMetadata {
        static REPOSITORY: OnceLock<Simulator> = OnceLock::new();
        let mut repository = REPOSITORY.get_or_init(Simulator::new).clone();
        for name in NAMES.iter().filter(|name| Some(**name) != self.unlisted) {
            repository.snapshot.roles.insert(role(name), MetaFile::version(1));
        }
        repository.targets.insert(RoleName::targets(), self.metadata(TOP));
        repository.write_targets(RoleName::TARGETS);
        repository.write_snapshot();
        repository.write_timestamp();
        let first_root = repository.first_root();
        let updater = Updater::new(&first_root, Simulator::now(), Limits::default()).unwrap();
        drive(updater, &mut Store::new(), |file| repository.fetch(file)).unwrap()
    }

    /// The input need not name every file: the others are there and empty.
    fn file(&self, node: Node) -> &File {
        const EMPTY: &File = &File { fault: Fault::None, lists: 0, edges: Edges::None };
        self.files.get(&node).unwrap_or(EMPTY)
    }

    fn metadata(&self, node: Node) -> Targets {
        let file = self.file(node);
        let listed =
            self.paths.iter().enumerate().filter(|(number, _)| file.lists >> number & 1 == 1);
        let targets = listed.map(|(_, path)| (path.to_string(), target_of(node)));
        let delegations = |roles| {
            let keys = signers().iter().map(|key| (key.keyid(), key.public_key().clone()));
            Some(Delegations { keys: keys.collect::<Keys>(), roles })
        };
        let delegations = match &file.edges {
            Edges::None => None,
            Edges::Listed(edges) => {
                delegations(Roles::Listed(edges.iter().map(delegated_role).collect()))
            }
            Edges::Bins { bit_length, key } => delegations(Roles::Succinct(SuccinctRoles {
                keys: role_keys(*key),
                bit_length: u8::try_from(*bit_length).unwrap(),
                name_prefix: "bin".to_owned(),
            })),
        };
        let version = if file.fault == Fault::WrongVersion { 2 } else { 1 };
        let too_old = file.fault == Fault::Expired;
        let expires = time(if too_old { "2029-12-31T23:59:59Z" } else { "2031-01-01T00:00:00Z" });
        // A role need not state its name: those of the first key do not.
        let own = (node.1 == 1).then(|| role(node.0));
        let name = if file.fault == Fault::OtherName { Some(role("another")) } else { own };
        Targets { version, expires, name, targets: targets.collect(), delegations }
    }

    /// What a mirror has.
    fn fetch(&self, node: Node) -> Option<Vec<u8>> {
        let fault = self.file(node).fault;
        let other = usize::from(fault == Fault::Unsigned);
        let signer = &signers()[(node.1 + other) % 2];
        let sign = || metadata::sign(&self.metadata(node), &[signer]).unwrap();
        (fault != Fault::Missing).then(sign)
    }
}

fn read_path(input: &mut Cursor<'_>) -> TargetPath {
    TargetPath::new(input.text(PATHS, 7)).unwrap_or_else(|_| TargetPath::new("a/b").unwrap())
}

fn read_file(input: &mut Cursor<'_>, fault: Fault, paths: &[TargetPath]) -> File {
    // Mostly nothing, so that searches go on.
    let lists = if input.below(3) == 1 { input.byte() } else { 0 };
    let edges = match input.below(8) {
        0 => Edges::None,
        1 => Edges::Bins { bit_length: input.one_of(&[1, 2, 3, 4, 5]), key: input.below(2) },
        _ => {
            let mut edges: Vec<Edge> = Vec::new();
            for _ in 0..input.below(5) {
                let to = (input.one_of(NAMES), input.below(2));
                let covers = read_covers(input, paths);
                let terminating = input.below(4) == 1;
                // To list a role twice is malformed.
                edges.retain(|edge| edge.to.0 != to.0);
                edges.push(Edge { to, covers, terminating });
            }
            Edges::Listed(edges)
        }
    };
    File { fault, lists, edges }
}

fn read_covers(input: &mut Cursor<'_>, paths: &[TargetPath]) -> Paths {
    let patterns =
        |patterns: &[&str]| Paths::Patterns(patterns.iter().map(|p| (*p).to_owned()).collect());
    match input.below(6) {
        0..=2 => patterns(&["*", "*/*", "*/*/*"]),
        3 => patterns(&["*"]),
        4 => Paths::Patterns((0..input.below(4)).map(|_| read_pattern(input, paths)).collect()),
        _ => {
            let prefixes = (0..input.below(4)).map(|_| match input.flag() {
                true => hex_hash(input.one_of(&paths.iter().collect::<Vec<_>>()).as_str())
                    [..input.below(65)]
                    .to_owned(),
                false => input.text(HEX, 3),
            });
            Paths::HashPrefixes(prefixes.collect())
        }
    }
}

/// Some text, or a path with some of its characters replaced, so that it may match.
fn read_pattern(input: &mut Cursor<'_>, paths: &[TargetPath]) -> String {
    let number = input.below(paths.len() + 1);
    let Some(path) = paths.get(number) else { return input.text(PATTERNS, 10) };
    let mut pattern = String::new();
    for c in path.as_str().chars() {
        match input.below(8) {
            1 => pattern.push('*'),
            2 => pattern.push('?'),
            3 => {
                let negation = if input.flag() { "!" } else { "" };
                let itself = if input.flag() { c.to_string() } else { String::new() };
                pattern.extend(["[", negation, &itself, &input.text(SET, 4), "]"]);
            }
            4 => {}
            _ => pattern.push(c),
        }
    }
    pattern
}

fn signers() -> &'static [TestKey; 2] {
    static SIGNERS: OnceLock<[TestKey; 2]> = OnceLock::new();
    SIGNERS.get_or_init(|| ["first", "second"].map(TestKey::new))
}

fn role_keys(key: usize) -> RoleKeys {
    RoleKeys { keyids: vec![signers()[key].keyid()], threshold: 1 }
}

fn delegated_role(edge: &Edge) -> DelegatedRole {
    DelegatedRole {
        name: role(edge.to.0),
        keys: role_keys(edge.to.1),
        terminating: edge.terminating,
        paths: edge.covers.clone(),
    }
}

/// What a role lists for each path: it says which role that was.
fn target_of(node: Node) -> TargetFile {
    let hashes = Hashes::sha256(Sha256::of(node.0.as_bytes()));
    TargetFile { length: node.1 as u64, hashes, custom: None }
}

/// How a search ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Found(Node),
    /// Not in this branch: the search goes on.
    Nowhere,
    /// Not in this branch, and a terminating delegation led into it.
    Terminated,
    /// With the slug of the error.
    Refused(&'static str),
}

/// What searches before have left.
#[derive(Default)]
struct Known {
    /// For each role that was verified, and the role that delegates to it, the latter's file.
    at_hand: BTreeMap<(&'static str, &'static str), Node>,
    /// For each role the file in the trust store.
    stored: BTreeMap<&'static str, Node>,
}

/// The search as TUF 5.6.7 reads, and what it needs on its way.
struct Expected<'a> {
    graph: &'a Graph,
    number: usize,
    limit: u64,
    known: &'a mut Known,
    visited: Vec<&'static str>,
    /// Roles that are not at hand, in order.
    loads: Vec<&'static str>,
    /// Files that the trust store does not have either, in order.
    fetches: Vec<Node>,
}

impl<'a> Expected<'a> {
    fn new(graph: &'a Graph, number: usize, limit: u64, known: &'a mut Known) -> Self {
        let visited = vec![TOP.0];
        Self { graph, number, limit, known, visited, loads: Vec::new(), fetches: Vec::new() }
    }

    fn search(&mut self) -> End {
        self.search_in(TOP)
    }

    /// A role, then the roles it delegates the path to, in order, each with all that is below it.
    fn search_in(&mut self, node: Node) -> End {
        let path = self.graph.paths[self.number].as_str();
        let file = self.graph.file(node);
        if file.lists >> self.number & 1 == 1 {
            return End::Found(node);
        }
        let edges: Vec<(Node, bool)> = match &file.edges {
            Edges::None => Vec::new(),
            Edges::Listed(edges) => {
                let covering = edges.iter().filter(|edge| edge.covers(path));
                covering.map(|edge| (edge.to, edge.terminating)).collect()
            }
            Edges::Bins { bit_length, key } => {
                let bin = bin_name("bin", *bit_length, path);
                let name = NAMES.iter().find(|name| **name == bin);
                // TAP 15: a succinct delegation is terminating.
                vec![((name.unwrap_or(&NOT_IN_SNAPSHOT), *key), true)]
            }
        };
        for (child, terminating) in edges {
            match self.visit(node, child) {
                End::Nowhere if terminating => return End::Terminated,
                End::Nowhere => {}
                end => return end,
            }
        }
        End::Nowhere
    }

    fn visit(&mut self, parent: Node, child: Node) -> End {
        let (name, _) = child;
        if self.visited.contains(&name) {
            return End::Nowhere;
        }
        // The top-level targets role is among the visited, and no delegated one.
        if self.visited.len() as u64 > self.limit {
            return End::Refused("endless");
        }
        self.visited.push(name);
        if self.known.at_hand.get(&(parent.0, name)) != Some(&parent) {
            if let Err(slug) = self.acquire(child) {
                return End::Refused(slug);
            }
            self.known.at_hand.insert((parent.0, name), parent);
        }
        self.search_in(child)
    }

    fn acquire(&mut self, node: Node) -> Result<(), &'static str> {
        self.loads.push(node.0);
        if node.0 == NOT_IN_SNAPSHOT || self.graph.unlisted == Some(node.0) {
            return Err("inconsistent");
        }
        if self.known.stored.get(node.0) == Some(&node) {
            return Ok(());
        }
        self.fetches.push(node);
        match self.graph.file(node).fault {
            Fault::None => {}
            Fault::Missing => return Err("missing"),
            Fault::Unsigned => return Err("unsigned"),
            Fault::WrongVersion | Fault::OtherName => return Err("inconsistent"),
            Fault::Expired => return Err("expired"),
        }
        self.known.stored.insert(node.0, node);
        Ok(())
    }
}

/// The client's side of a search, against a mirror that has the file that is needed next.
struct Mirror<'a> {
    graph: &'a Graph,
    files: &'a [Node],
    loaded: Vec<&'static str>,
    fetched: usize,
}

impl Mirror<'_> {
    fn search(
        &mut self,
        path: &TargetPath,
        limits: Limits,
        trusted: &mut TrustedMetadata,
        store: &mut Store,
    ) -> Result<Option<TargetFile>, Error> {
        let mut search = Search::new(path.clone(), trusted, limits)?;
        loop {
            let answer = match search.step(trusted) {
                Step::Load(name) => {
                    let known = NAMES.iter().find(|known| **known == name.as_str());
                    self.loaded.push(known.unwrap_or(&NOT_IN_SNAPSHOT));
                    Answer::Loaded(store.get(&name).cloned())
                }
                Step::Fetch(file) => {
                    let node = self.files.get(self.fetched);
                    self.fetched += 1;
                    let node = node.unwrap_or_else(|| panic!("{} is not needed", file.path));
                    assert_eq!(file.role.as_str(), node.0);
                    assert!(!file.path.contains('/'), "{} is not one segment", file.path);
                    self.graph.fetch(*node).map_or(Answer::NotFound, Answer::Fetched)
                }
                Step::Store(name, bytes) => {
                    store.insert(name, bytes.to_vec());
                    Answer::Stored
                }
                Step::Done => return Ok(search.finish()),
            };
            search = search.answer(trusted, answer)?;
        }
    }
}

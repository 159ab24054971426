use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use waxseal_tuf::hash::Sha256;

use super::{ArchiveError, Entry, FORMAT, LINE, Piece};

/// An archive, every piece of which was read and is whole.
#[derive(Debug, Clone)]
pub struct Archive {
    path: PathBuf,
    pieces: Vec<Placed>,
    /// Where the next piece begins.
    end: u64,
}

/// A piece, and where it stands.
#[derive(Debug, Clone)]
struct Placed {
    piece: Piece,
    offset: u64,
    digest: Sha256,
}

impl Archive {
    /// Reads an archive from its first byte to its last. One that is not there yet is empty.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let mut this = Self { path: path.to_owned(), pieces: Vec::new(), end: 0 };
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(this),
            file => file.map_err(this.failed("open"))?,
        };
        let mut reader = BufReader::with_capacity(1 << 20, file);
        while let Some((placed, length)) = this.read_piece(&mut reader)? {
            this.end += length;
            this.pieces.push(placed);
        }
        Ok(this)
    }

    /// Its pieces, the oldest first.
    pub fn pieces(&self) -> impl DoubleEndedIterator<Item = &Piece> + ExactSizeIterator {
        self.pieces.iter().map(|placed| &placed.piece)
    }

    /// The targets that the index had at this snapshot, in order.
    pub fn state_at(&self, snapshot: u64) -> Result<Entries, ArchiveError> {
        let found = self.pieces.iter().rposition(|placed| placed.piece.snapshot == snapshot);
        let Some(last) = found else {
            let there: Vec<_> =
                self.pieces.iter().map(|placed| placed.piece.snapshot.to_string()).collect();
            let there = match there.len() {
                0 => "none".to_owned(),
                1..=10 => there.join(", "),
                count => format!("{count} of them, from {} to {}", there[0], there[count - 1]),
            };
            return Err(ArchiveError::NoSnapshot { path: self.path.clone(), snapshot, there });
        };
        self.entries_up_to(last)
    }

    /// The targets of the newest piece; none where the archive is empty.
    pub(super) fn newest(&self) -> Result<Entries, ArchiveError> {
        match self.pieces.len() {
            0 => Ok(Entries { path: self.path.clone(), runs: Vec::new() }),
            count => self.entries_up_to(count - 1),
        }
    }

    fn entries_up_to(&self, last: usize) -> Result<Entries, ArchiveError> {
        let first = self.pieces[..=last].iter().rposition(|placed| placed.piece.full).unwrap_or(0);
        let run = |placed: &Placed| {
            let open = || -> io::Result<Run> {
                let mut file = File::open(&self.path)?;
                file.seek(SeekFrom::Start(placed.offset))?;
                let mut lines = BufReader::with_capacity(64 << 10, file);
                read_line(&mut lines)?;
                let mut run = Run { lines, next: None };
                run.advance()?;
                Ok(run)
            };
            open().map_err(self.failed("read"))
        };
        let runs = self.pieces[first..=last].iter().map(run).collect::<Result<_, _>>()?;
        Ok(Entries { path: self.path.clone(), runs })
    }

    /// The digest of the last piece.
    pub(super) fn head(&self) -> Option<Sha256> {
        self.pieces.last().map(|placed| placed.digest)
    }

    /// How many pieces there are since one that lists every target, with that.
    pub(super) fn since_full(&self) -> usize {
        let full = self.pieces.iter().rposition(|placed| placed.piece.full);
        full.map_or(usize::MAX, |full| self.pieces.len() - full)
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn failed(&self, action: &'static str) -> impl Fn(io::Error) -> ArchiveError {
        let path = self.path.clone();
        move |source| ArchiveError::Io { action, path: path.clone(), source }
    }

    /// Reads the next piece, and how many bytes it has; `None` at the end.
    fn read_piece(
        &self,
        reader: &mut BufReader<File>,
    ) -> Result<Option<(Placed, u64)>, ArchiveError> {
        let (number, offset) = (self.pieces.len() as u64 + 1, self.end);
        let path = || self.path.clone();
        let torn = || ArchiveError::Torn { path: path(), piece: number, offset };
        let damaged = |problem: String| ArchiveError::Damaged {
            path: path(),
            piece: number,
            offset,
            problem,
        };
        let mut context = Context::new(&SHA256);
        let mut length = 0;
        let mut next = || -> Result<Option<(String, Vec<u8>)>, ArchiveError> {
            let line = read_line(reader).map_err(self.failed("read"))?;
            length += line.len() as u64;
            if line.is_empty() {
                return Ok(None);
            }
            let Some(text) = line.strip_suffix(b"\n") else {
                let too_long = line.len() as u64 >= LINE;
                return if too_long {
                    Err(damaged("has a line without end".into()))
                } else {
                    Err(torn())
                };
            };
            let text = str::from_utf8(text).map_err(|_| damaged("is not text".into()))?.to_owned();
            Ok(Some((text, line)))
        };
        let Some((header, line)) = next()? else { return Ok(None) };
        context.update(&line);
        let piece: Piece = serde_json::from_str(&header)
            .map_err(|error| damaged(format!("has no first line of an archive: {error}")))?;
        if piece.waxseal_archive != FORMAT {
            return Err(damaged(format!("has form {}, not {FORMAT}", piece.waxseal_archive)));
        }
        let previous = self.head().map_or_else(String::new, |head| head.to_string());
        if piece.number != number || piece.previous != previous {
            return Err(damaged("does not follow the piece before it".into()));
        }
        let mut last: Option<Sha256> = None;
        loop {
            let Some((text, line)) = next()? else { return Err(torn()) };
            if let Some(digest) = text.strip_prefix("= ") {
                let is = finish(context);
                if is.to_string() != digest {
                    return Err(damaged("has another digest than it was written with".into()));
                }
                return Ok(Some((Placed { piece, offset, digest: is }, length)));
            }
            context.update(&line);
            let order = match parse(&text) {
                Some(Line::Add(entry)) => entry.order,
                Some(Line::Remove(order)) => order,
                None => return Err(damaged(format!("has a line that is none: {text:.60}"))),
            };
            if last.is_some_and(|last| last.0 >= order.0) {
                return Err(damaged("is not in order".into()));
            }
            last = Some(order);
        }
    }
}

/// What is left of an archive's targets at one moment, in order.
#[derive(Debug)]
pub struct Entries {
    path: PathBuf,
    /// The oldest first: of one path the newest counts.
    runs: Vec<Run>,
}

/// A piece that is being read.
#[derive(Debug)]
struct Run {
    lines: BufReader<File>,
    next: Option<Line>,
}

#[derive(Debug)]
enum Line {
    Add(Entry),
    Remove(Sha256),
}

impl Line {
    fn order(&self) -> &Sha256 {
        match self {
            Self::Add(entry) => &entry.order,
            Self::Remove(order) => order,
        }
    }
}

impl Run {
    fn advance(&mut self) -> io::Result<Option<Line>> {
        let line = read_line(&mut self.lines)?;
        let text = str::from_utf8(&line).unwrap_or_default().trim_end_matches('\n');
        // The piece was read and found whole: anything else is its end.
        Ok(std::mem::replace(&mut self.next, parse(text)))
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let orders = self.runs.iter().filter_map(|run| run.next.as_ref().map(Line::order));
            let least = *orders.min_by(|a, b| a.0.cmp(&b.0))?;
            let mut newest = None;
            for run in &mut self.runs {
                let here = run.next.as_ref().map(|line| line.order().0.cmp(&least.0));
                if here != Some(Ordering::Equal) {
                    continue;
                }
                match run.advance() {
                    Ok(line) => newest = line,
                    Err(source) => {
                        let path = self.path.clone();
                        return Some(Err(ArchiveError::Io { action: "read", path, source }));
                    }
                }
            }
            if let Some(Line::Add(entry)) = newest {
                return Some(Ok(entry));
            }
        }
    }
}

fn parse(text: &str) -> Option<Line> {
    if let Some(path) = text.strip_prefix("- ") {
        return Some(Line::Remove(Sha256::of(path.as_bytes())));
    }
    let (digest, rest) = text.strip_prefix("+ ")?.split_once(' ')?;
    let (length, path) = rest.split_once(' ')?;
    digest.split_once(':')?;
    Some(Line::Add(Entry {
        order: Sha256::of(path.as_bytes()),
        path: path.to_owned(),
        digest: digest.to_owned(),
        length: length.parse().ok()?,
    }))
}

/// A line with its end, or without one where the file ends or the line is too long.
fn read_line(reader: &mut BufReader<File>) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    reader.take(LINE).read_until(b'\n', &mut line)?;
    Ok(line)
}

pub(crate) fn finish(context: Context) -> Sha256 {
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    Sha256(digest)
}

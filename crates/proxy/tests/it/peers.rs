//! Real pip and real uv against the proxy: what they install, and what their users read.

use std::fs;
use std::path::Path;

use waxseal_index::DistributionFilename;
use waxseal_index::archive::{Limits, inspect};
use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Position, Tamper};
use waxseal_testkit::peers::{self, Outcome, Venv};
use waxseal_testkit::served::ServedSimulator;
use waxseal_testkit::simulator::Simulator;
use waxseal_tuf::hash::Sha256;

use crate::world::{Packages, World, is, keep, list, publish_all, settings};

async fn world() -> World {
    let mut packages = Packages::new();
    for path in peers::packages() {
        add(&mut packages, &path);
    }
    World::serving(packages.publish(), settings()).await
}

fn add(packages: &mut Packages, path: &Path) {
    let name = path.file_name().unwrap().to_str().unwrap();
    let content = fs::read(path).unwrap();
    packages.add_file(name, &content, metadata_of(name, &content).as_deref());
}

fn metadata_of(name: &str, content: &[u8]) -> Option<Vec<u8>> {
    let filename: DistributionFilename = name.parse().unwrap();
    let size = content.len() as u64;
    let inspected =
        inspect(&filename, std::io::Cursor::new(content), size, &Limits::default()).unwrap();
    inspected.metadata_file
}

/// Publishes a page with other bytes, so that the proxy fetches it again.
fn change_page(world: &World, path: &str) {
    let mut simulator = world.index.simulator();
    let page = [simulator.target_files[path].clone(), b"\n".to_vec()].concat();
    list(&mut simulator, path, &page);
    publish_all(&mut simulator);
}

struct Machine {
    venv: Venv,
    index: String,
    _folder: tempfile::TempDir,
}

impl Machine {
    fn new(world: &World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let venv = peers::venv(&folder.path().join("venv"));
        Self { venv, index: format!("http://{}/simple/", world.address), _folder: folder }
    }

    async fn pip(&self, args: &[&str]) -> Outcome {
        let pip = self.venv.command(self.venv.pip());
        let command = pip.args(["install", "--index-url", &self.index]).args(args.iter());
        tokio::task::spawn_blocking(|| command.run()).await.unwrap()
    }

    async fn uv(&self, args: &[&str]) -> Outcome {
        let uv = self.venv.command(peers::uv());
        let command = uv.args(["pip", "install", "--default-index", &self.index]).args(args.iter());
        tokio::task::spawn_blocking(|| command.run()).await.unwrap()
    }
}

/// Both install a few packages with what those need, and nothing is refused.
async fn pip_and_uv_install(machine: &Machine, world: &World) {
    machine.pip(&["flask", "numpy"]).await.success();
    machine.uv(&["requests", "tomli-w"]).await.success();
    let installed = machine.venv.installed().join(" ");
    for name in ["flask-", "werkzeug-", "numpy-", "requests-", "tomli_w-"] {
        assert!(installed.contains(name), "{installed}");
    }
    assert_eq!(world.proxy.refusals(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn pip_and_uv_install_through_the_proxy() {
    let world = world().await;
    let machine = Machine::new(&world);
    pip_and_uv_install(&machine, &world).await;
}

/// An index of layout `index`, whose pages link to the files on another host, and that host.
async fn world_with_files_elsewhere(format: &'static str) -> (World, Mirror, ServedSimulator) {
    let mut simulator = Simulator::new();
    for path in peers::packages() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let project = name.parse::<DistributionFilename>().unwrap().project().clone();
        let content = fs::read(&path).unwrap();
        let metadata = metadata_of(name, &content);
        let path = format!("packages/{project}/{name}");
        if let Some(metadata) = metadata {
            simulator.target_files.insert(format!("{path}.metadata"), metadata);
        }
        simulator.target_files.insert(path, content);
    }
    let files = ServedSimulator::start(simulator);
    let host = Mirror::start(&files.url());
    let url = host.url();
    let mut packages = Packages::layout_index(move |path, page| {
        let page = String::from_utf8(page).unwrap();
        let linked = page.replace("../../files/", &format!("{url}files/"));
        is(path, format).then_some(linked.into_bytes())
    });
    for path in peers::packages() {
        add(&mut packages, &path);
    }
    (World::serving(packages.publish(), settings()).await, host, files)
}

#[tokio::test(flavor = "multi_thread")]
async fn pip_and_uv_install_files_that_pages_vouch_for() {
    let mut packages = Packages::layout_index(keep);
    for path in peers::packages() {
        add(&mut packages, &path);
    }
    let world = World::serving(packages.publish(), settings()).await;
    let machine = Machine::new(&world);
    pip_and_uv_install(&machine, &world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pip_and_uv_install_from_another_host_through_the_proxy() {
    for format in ["json", "html"] {
        let (world, host, _files) = world_with_files_elsewhere(format).await;
        let machine = Machine::new(&world);
        pip_and_uv_install(&machine, &world).await;
        let asked = |end: &str| {
            let requests = host.requests();
            requests.iter().filter(|one| one.path.ends_with(end)).count()
        };
        assert!(asked(".whl") > 10 && asked(".whl.metadata") > 10, "{format}");
        // Each once, and by the proxy alone.
        let mut paths: Vec<_> = host.requests().into_iter().map(|one| one.path).collect();
        let all = paths.len();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), all);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pip_and_uv_show_why_a_file_of_another_host_is_refused() {
    let wheel = "itsdangerous-2.2.0-py3-none-any.whl";
    for file in [wheel, &format!("{wheel}.metadata")] {
        let (world, host, _files) = world_with_files_elsewhere("json").await;
        let machine = Machine::new(&world);
        let flip = Change::FlipByte { at: Position::FromEnd(3) };
        host.set(Tamper { matches: PathPattern::suffix(file), change: flip });
        let reason = format!("waxseal refuses file packages/itsdangerous/{file} (changed)");
        let pip = machine.pip(&["itsdangerous"]).await.failure().screen();
        assert!(pip.contains(&reason), "{pip}");
        let uv = machine.uv(&["itsdangerous"]).await.failure().screen();
        assert!(uv.contains(&reason), "{uv}");
        assert_eq!(machine.venv.installed(), Vec::<String>::new());
        host.honest();
        machine.pip(&["itsdangerous"]).await.success();
    }
}

/// Both tools install a file without a digest from an index that they are given; not through the
/// proxy.
#[tokio::test(flavor = "multi_thread")]
async fn pip_and_uv_get_no_file_that_nothing_promises() {
    let wheel = peers::package("itsdangerous-");
    let digest = Sha256::of(&fs::read(&wheel).unwrap());
    let mut packages = Packages::layout_index(move |path, page| {
        let page = String::from_utf8(page).unwrap();
        let without = page.replace(&format!(r#""sha256":"{digest}""#), "");
        assert!(is(path, "html") || without != page, "{page}");
        is(path, "json").then_some(without.into_bytes())
    });
    add(&mut packages, &wheel);
    let world = World::serving(packages.publish(), settings()).await;
    let machine = Machine::new(&world);
    for outcome in [machine.pip(&["itsdangerous"]).await, machine.uv(&["itsdangerous"]).await] {
        let screen = outcome.failure().screen();
        assert!(screen.contains("(unverifiable)"), "{screen}");
    }
    assert_eq!(machine.venv.installed(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn pip_shows_why_a_project_is_refused() {
    let world = world().await;
    let machine = Machine::new(&world);
    machine.pip(&["click"]).await.success();
    change_page(&world, "simple/click/vnd.pypi.simple.v1.json");
    let flip = Change::FlipByte { at: Position::FromEnd(3) };
    world.lie(PathPattern::contains("/simple/click/"), flip);
    for args in
        [&["--force-reinstall", "click"][..], &["-U", "click"], &["--ignore-installed", "flask"]]
    {
        let screen = machine.pip(args).await.failure().screen();
        assert!(screen.contains("waxseal refuses project click (changed)"), "{args:?}: {screen}");
    }
    let screen = machine.pip(&["click==8.1.0"]).await.failure().screen();
    assert!(screen.contains("waxseal.changed"), "{screen}");
    assert!(!machine.venv.installed().join(" ").contains("flask"));
    world.mirror.honest();
    machine.pip(&["flask"]).await.success();
}

#[tokio::test(flavor = "multi_thread")]
async fn pip_and_uv_show_why_a_file_is_refused() {
    let wheel = "itsdangerous-2.2.0-py3-none-any.whl";
    for file in [wheel, &format!("{wheel}.metadata")] {
        let world = world().await;
        let machine = Machine::new(&world);
        world.lie(PathPattern::suffix(file), Change::FlipByte { at: Position::FromEnd(3) });
        let reason = format!("waxseal refuses file packages/itsdangerous/{file} (changed)");
        let pip = machine.pip(&["itsdangerous"]).await.failure().screen();
        assert!(pip.contains(&reason), "{pip}");
        let uv = machine.uv(&["itsdangerous"]).await.failure().screen();
        assert!(uv.contains(&reason), "{uv}");
        assert_eq!(machine.venv.installed(), Vec::<String>::new());
        world.mirror.honest();
        machine.pip(&["itsdangerous"]).await.success();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uv_shows_why_a_project_is_refused() {
    let world = world().await;
    let machine = Machine::new(&world);
    let flip = Change::FlipByte { at: Position::FromEnd(3) };
    world.lie(PathPattern::contains("/simple/click/"), flip);
    let screen = machine.uv(&["click"]).await.failure().screen();
    assert!(screen.contains("waxseal refuses project click (changed)"), "{screen}");
    world.mirror.honest();
    machine.uv(&["click"]).await.success();
}

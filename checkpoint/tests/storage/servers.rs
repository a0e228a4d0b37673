//! Real servers of object storage on loopback, for as long as this process lives.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

const MOTO: &str = "moto[server]==5.2.5";
/// The newest that Node.js 20 runs.
const AZURITE: &str = "azurite@3.35.0";

/// The account that every Azurite has; its key is in its documentation.
pub(crate) const ACCOUNT: &str = "devstoreaccount1";
pub(crate) const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Whether a person has said that there are to be no servers.
pub(crate) fn are_skipped() -> bool {
    let skipped = std::env::var_os("TRAINLOOP_SKIP_SERVERS").is_some_and(|value| value == "1");
    if skipped {
        eprintln!("skipped: TRAINLOOP_SKIP_SERVERS is set");
    }
    skipped
}

/// A server that ends when this process does, however that comes: it reads from a pipe that the system closes.
pub(crate) struct Server {
    _process: Child,
    pub(crate) port: u16,
}

impl Server {
    fn start(command: &mut Command, announces: &str) -> Self {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let (sender, receiver) = std::sync::mpsc::channel();
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(process.stdout.take().unwrap()), Box::new(process.stderr.take().unwrap())];
        for stream in streams {
            let sender = sender.clone();
            // To the end, or the server would wait for someone to read what it prints.
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        drop(sender);
        let mut said = String::new();
        let port = loop {
            let line = receiver.recv().unwrap_or_else(|_| panic!("the server has ended; it said:\n{said}"));
            if let Some(rest) = line.split_once(announces).map(|(_, rest)| rest) {
                let digits = rest.chars().take_while(char::is_ascii_digit).collect::<String>();
                break digits.parse().expect("a port");
            }
            said.push_str(&line);
            said.push('\n');
        };
        Self { _process: process, port }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// S3, to which whoever asks may do everything.
pub(crate) fn s3() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = moto(None);
        for bucket in ["runs", "other"] {
            let answer = request(
                server.port,
                &format!("PUT /{bucket} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
            );
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        server
    })
}

/// S3 that looks at credentials, but for the first requests.
pub(crate) fn moto(free_requests: Option<usize>) -> Server {
    let program = "import os, sys, threading\n\
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()\n\
        from moto.server import main\n\
        main(['-H', '127.0.0.1', '-p', '0'])\n";
    let mut command = Command::new(python());
    command.args(["-c", program]);
    if let Some(requests) = free_requests {
        command.env("INITIAL_NO_AUTH_ACTION_COUNT", requests.to_string());
    }
    Server::start(&mut command, "http://127.0.0.1:")
}

/// Azure's blobs.
pub(crate) fn azure() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let program = "process.stdin.resume(); process.stdin.on('end', () => process.exit());\n\
            process.argv = ['node', 'azurite-blob', '--blobHost', '127.0.0.1', '--blobPort', '0', '--inMemoryPersistence', '--skipApiVersionCheck'];\n\
            require('azurite/dist/src/blob/main.js');\n";
        let server = Server::start(Command::new("node").args(["-e", program]).current_dir(azurite()), "http://127.0.0.1:");
        let made = Command::new(python()).args(["-c", MAKE_CONTAINER, &server.url(), ACCOUNT, KEY, "runs"]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        server
    })
}

/// A container is made by a request that is signed with the account's key.
const MAKE_CONTAINER: &str = r"
import base64, email.utils, hashlib, hmac, sys, urllib.request
url, account, key, name = sys.argv[1:]
headers = {'x-ms-date': email.utils.formatdate(usegmt=True), 'x-ms-version': '2021-08-06'}
canonical = ''.join(f'{header}:{headers[header]}\n' for header in sorted(headers))
text = 'PUT' + '\n' * 12 + canonical + f'/{account}/{account}/{name}\nrestype:container'
signature = base64.b64encode(hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()).decode()
headers['Authorization'] = f'SharedKey {account}:{signature}'
request = urllib.request.Request(f'{url}/{account}/{name}?restype=container', method='PUT', headers=headers)
urllib.request.urlopen(request)
";

/// One request and its whole answer.
fn request(port: u16, text: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The interpreter of an environment with moto.
pub(crate) fn python() -> PathBuf {
    let made = tool("moto-5.2.5", |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder));
        run(Command::new(folder.join("bin/python")).args(["-m", "pip", "install", "--quiet", MOTO]));
    });
    made.join("bin/python")
}

fn azurite() -> PathBuf {
    tool("azurite-3.35.0", |folder| {
        fs::create_dir_all(folder).unwrap();
        run(Command::new("npm").args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(folder).arg(AZURITE));
    })
}

/// A folder of the user's cache that is made once, by one process, whole or not at all.
fn tool(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let tools = cache().join("servers");
    fs::create_dir_all(&tools).unwrap();
    let lock = File::create(tools.join(format!("{name}.lock"))).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let folder = tools.join(name);
    let whole = folder.join("whole");
    if !whole.exists() {
        let _ = fs::remove_dir_all(&folder);
        make(&folder);
        fs::write(whole, "").unwrap();
    }
    folder
}

fn cache() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("TRAINLOOP_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("trainloop")))
        .unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache/trainloop"))
}

fn run(command: &mut Command) {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| {
        panic!("{program} cannot be run ({error}): the servers of these tests need Python 3, with venv, and Node.js, with npm; TRAINLOOP_SKIP_SERVERS=1 leaves them out")
    });
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

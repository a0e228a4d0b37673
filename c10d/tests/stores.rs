//! The same suite over each kind of store, and what is each kind's own.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use trainloop_c10d::{Error, FileStore, HashStore, PrefixStore, Store, TcpStore};

/// A hang guard, far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// For waits that are to fail.
const SHORT: Duration = Duration::from_millis(200);

/// Two handles of one store, as two ranks have them.
type Pair = (Store, Store);

fn files(folder: &tempfile::TempDir) -> Pair {
    let open = || FileStore::open(&folder.path().join("store"), 2).unwrap();
    (open(), open())
}

fn tcp() -> Pair {
    let (server, port) = TcpStore::serve(0, PATIENCE).unwrap();
    (server, TcpStore::connect("127.0.0.1", port, PATIENCE).unwrap())
}

fn hash() -> Pair {
    let store = HashStore::open().unwrap();
    let other = store.try_clone().unwrap();
    (store, other)
}

fn prefixed((left, right): &Pair) -> Pair {
    (PrefixStore::over("group", left).unwrap(), PrefixStore::over("group", right).unwrap())
}

/// Runs a test over each kind of store.
fn each(test: impl Fn(&Pair)) {
    let folder = tempfile::tempdir().unwrap();
    for (name, pair) in [("file", files(&folder)), ("tcp", tcp()), ("hash", hash())] {
        for (prefix, pair) in [("prefix over ", prefixed(&pair)), ("", pair)] {
            println!("{prefix}{name}");
            pair.0.set_timeout(PATIENCE);
            pair.1.set_timeout(PATIENCE);
            test(&pair);
        }
    }
}

/// What one handle sets the other gets: empty values, bytes that are no text, a value over another.
#[test]
fn a_value_is_seen_by_both() {
    each(|(left, right)| {
        let long = vec![7; 100_000];
        for value in [&b"first"[..], b"", &[0, 255, 10, 13, 0], b"second", &long] {
            left.set("value", value).unwrap();
            assert_eq!(right.get("value").unwrap(), value);
            assert_eq!(left.get("value").unwrap(), value);
        }
        right.set("ключ", b"umlaut").unwrap();
        assert_eq!(left.get("ключ").unwrap(), b"umlaut");
    });
}

/// A counter begins at 0, goes both ways, and is one and the same for both handles.
#[test]
fn a_counter_is_shared() {
    each(|(left, right)| {
        assert_eq!(left.add("counter", 0).unwrap(), 0);
        assert_eq!(left.add("counter", 5).unwrap(), 5);
        assert_eq!(right.add("counter", -7).unwrap(), -2);
        assert_eq!(left.add("counter", i64::from(i32::MAX) * 2).unwrap(), i64::from(i32::MAX) * 2 - 2);
        assert_eq!(right.add("other", 1).unwrap(), 1);
    });
}

/// No addition is lost where both handles add at once.
#[test]
fn additions_at_once_are_all_counted() {
    let folder = tempfile::tempdir().unwrap();
    for (left, right) in [files(&folder), tcp(), hash()] {
        let count = |store: Store| {
            for _ in 0..100 {
                store.add("counter", 1).unwrap();
            }
            store
        };
        let (left, _right) = std::thread::scope(|scope| {
            let right = scope.spawn(move || count(right));
            (count(left), right.join().unwrap())
        });
        assert_eq!(left.add("counter", 0).unwrap(), 200);
    }
}

/// `contains` does not wait, and knows what is set and what is not.
#[test]
fn contains_knows_what_is_set() {
    each(|(left, right)| {
        assert!(!left.contains("absent").unwrap());
        left.set("present", b"").unwrap();
        assert!(right.contains("present").unwrap());
    });
}

/// A key is there for the other handle as soon as `set` has returned, though a server may read its connections in any order.
#[test]
fn what_is_set_is_there_for_the_other() {
    each(|(left, right)| {
        for round in 0..500 {
            let key = format!("key {round}");
            left.set(&key, b"value").unwrap();
            assert!(right.contains(&key).unwrap(), "{key}");
        }
    });
}

/// A deleted key is gone for both; deleting it again says that it was not there.
#[test]
fn delete_removes_a_key() {
    each(|(left, right)| {
        left.set("key", b"value").unwrap();
        assert!(right.delete("key").unwrap());
        assert!(!left.contains("key").unwrap());
        assert!(!left.delete("key").unwrap());
        left.set("key", b"again").unwrap();
        assert_eq!(right.get("key").unwrap(), b"again");
    });
}

/// A wait for keys that are there returns; it needs all of them.
#[test]
fn wait_needs_all_keys() {
    each(|(left, right)| {
        left.set("one", b"1").unwrap();
        right.wait(&["one"], PATIENCE).unwrap();
        let error = right.wait(&["one", "two"], SHORT).unwrap_err();
        assert_timeout(&error, "Store::wait");
        assert!(error.to_string().contains("key `two` not set within 200ms"), "{error}");
        left.set("two", b"2").unwrap();
        right.wait(&["one", "two"], PATIENCE).unwrap();
        right.wait(&[], PATIENCE).unwrap();
    });
}

/// A wait and a `get` end as the other handle sets the key.
#[test]
fn a_wait_ends_when_the_key_is_set() {
    let folder = tempfile::tempdir().unwrap();
    for (left, right) in [files(&folder), tcp(), hash()] {
        let (waiting, started) = mpsc::channel();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(move || {
                waiting.send(()).unwrap();
                right.wait(&["late"], PATIENCE).unwrap();
                right.get("later").unwrap()
            });
            started.recv().unwrap();
            left.set("late", b"").unwrap();
            left.set("later", b"value").unwrap();
            assert_eq!(waiter.join().unwrap(), b"value");
        });
    }
}

/// A key that nobody sets is a timeout, of `wait` and of `get`, and the store serves on.
#[test]
fn a_key_that_nobody_sets_is_a_timeout() {
    each(|(left, right)| {
        assert_timeout(&left.wait(&["never"], SHORT).unwrap_err(), "Store::wait");
        left.set_timeout(SHORT);
        assert_eq!((left.timeout(), right.timeout()), (SHORT, PATIENCE), "a timeout is each handle's own");
        let error = left.get("never").unwrap_err();
        assert_timeout(&error, "Store::get");
        assert!(error.to_string().contains("`never`") && error.to_string().contains("see that a rank sets it"));
        assert_timeout(&right.get_within("never", SHORT).unwrap_err(), "Store::get");
        right.set("never", b"after all").unwrap();
        assert_eq!(left.get("never").unwrap(), b"after all");
    });
}

fn assert_timeout(error: &Error, operation: &str) {
    let Error::Timeout { operation: found, message } = error else { panic!("no timeout, but {error:?}") };
    assert_eq!(*found, operation);
    assert!(!message.is_empty());
    assert!(error.is_peer_failure());
}

/// An exchange happens only where the value is as expected; nothing expected fits a key that is not set.
#[test]
fn compare_set_exchanges_what_is_expected() {
    each(|(left, right)| {
        assert_eq!(left.compare_set("key", b"other", b"first").unwrap(), b"other", "not set, so nothing to exchange");
        assert!(!right.contains("key").unwrap());
        assert_eq!(left.compare_set("key", b"", b"first").unwrap(), b"first");
        assert_eq!(right.compare_set("key", b"other", b"second").unwrap(), b"first");
        assert_eq!(right.get("key").unwrap(), b"first");
        assert_eq!(right.compare_set("key", b"first", b"second").unwrap(), b"second");
        assert_eq!(left.get("key").unwrap(), b"second");
    });
}

/// Of two that exchange at once one wins, in every round.
#[test]
fn compare_set_has_one_winner() {
    let folder = tempfile::tempdir().unwrap();
    for (left, right) in [files(&folder), tcp(), hash()] {
        let wins = |store: &Store, name: &[u8]| {
            (0..50).filter(|round| store.compare_set(&format!("{round}"), b"", name).unwrap() == name).count()
        };
        let (left, right) = std::thread::scope(|scope| {
            let right = scope.spawn(move || wins(&right, b"right"));
            (wins(&left, b"left"), right.join().unwrap())
        });
        assert_eq!(left + right, 50);
    }
}

/// Keys are counted as they are set and deleted, from both handles.
#[test]
fn keys_are_counted() {
    each(|(left, right)| {
        let before = left.num_keys().unwrap();
        left.set("one", b"1").unwrap();
        right.add("two", 2).unwrap();
        left.set("one", b"again").unwrap();
        assert_eq!((left.num_keys().unwrap(), right.num_keys().unwrap()), (before + 2, before + 2));
        assert!(left.delete("one").unwrap());
        assert_eq!(right.num_keys().unwrap(), before + 1);
    });
}

/// Adding to what is no number is an error with the key; whoever serves the store goes on.
#[test]
fn adding_to_no_number_is_an_error() {
    each(|(left, right)| {
        left.set("word", b"abc").unwrap();
        let error = right.add("word", 1).unwrap_err();
        assert!(error.to_string().starts_with("Store::add ") && error.to_string().contains("key `word`"), "{error}");
        assert!(matches!(error, Error::Store { .. } | Error::Network { .. }), "{error:?}");
        assert_eq!(left.get("word").unwrap(), b"abc");
        assert_eq!(left.add("number", 1).unwrap(), 1);
    });
}

/// A clone sees what the other sets, and a wait on one does not hold up the other.
#[test]
fn a_clone_is_the_same_store() {
    each(|(left, _)| {
        let clone = left.try_clone().unwrap();
        let (waiting, started) = mpsc::channel();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(move || {
                waiting.send(()).unwrap();
                clone.get("from the other").unwrap()
            });
            started.recv().unwrap();
            left.set("from the other", b"value").unwrap();
            assert_eq!(waiter.join().unwrap(), b"value");
        });
        let clone = left.try_clone().unwrap();
        clone.set("from the clone", b"").unwrap();
        drop(clone);
        assert!(left.contains("from the clone").unwrap());
    });
}

/// Keys under one prefix are not those under another, nor without one.
#[test]
fn prefixes_keep_groups_apart() {
    let folder = tempfile::tempdir().unwrap();
    for (left, right) in [files(&folder), tcp(), hash()] {
        let (first, second) = (PrefixStore::over("1", &left).unwrap(), PrefixStore::over("2", &right).unwrap());
        first.set("key", b"first").unwrap();
        second.set("key", b"second").unwrap();
        assert!(!left.contains("key").unwrap());
        assert_eq!(PrefixStore::over("1", &right).unwrap().get("key").unwrap(), b"first");
        assert_eq!(right.get("2/key").unwrap(), b"second");
    }
}

/// A file store in a folder that does not exist is refused at once, with the path; one that is not UTF-8 too.
#[test]
fn a_file_store_in_a_missing_folder_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing/store");
    let error = FileStore::open(&path, 1).unwrap_err();
    assert!(matches!(error, Error::Argument { operation: "FileStore::open", .. }), "{error:?}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    let path = folder.path().join(std::ffi::OsStr::from_bytes(b"\xff"));
    assert!(FileStore::open(&path, 1).unwrap_err().to_string().contains("is not UTF-8"));
}

/// The last handle to go removes the file.
#[test]
fn the_last_rank_removes_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (left, right) = files(&folder);
    left.set("key", b"value").unwrap();
    right.get("key").unwrap();
    drop(left);
    assert!(path.exists());
    drop(right);
    assert!(!path.exists());
}

/// Connecting where nobody listens fails within about the timeout, not libtorch's five minutes.
#[test]
fn connecting_to_nobody_fails() {
    // A port that is free because it was bound a moment ago.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let begun = Instant::now();
    let error = TcpStore::connect("127.0.0.1", port, Duration::from_millis(500)).unwrap_err();
    assert!(begun.elapsed() < PATIENCE);
    assert!(matches!(error, Error::Timeout { .. } | Error::Network { .. }), "{error:?}");
    assert!(error.to_string().starts_with("TcpStore::connect ") && error.is_peer_failure(), "{error}");
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}: ")), "{error}");
}

/// Serving on a port that is taken is an error of the network.
#[test]
fn serving_on_a_taken_port_fails() {
    let taken = TcpListener::bind((std::net::Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = TcpStore::serve(port, PATIENCE).unwrap_err();
    assert!(matches!(error, Error::Network { operation: "TcpStore::serve", .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("port {port}: ")), "{error}");
}

/// A client whose server has gone gets an error of the network, not a hang.
#[test]
fn a_server_that_has_gone_is_an_error() {
    let (server, client) = tcp();
    client.set("key", b"value").unwrap();
    drop(server);
    let error = client.get("key").unwrap_err();
    assert!(matches!(error, Error::Network { operation: "Store::get", .. }), "{error:?}");
    assert!(error.to_string().contains("key `key`") && error.to_string().contains("still running"), "{error}");
}

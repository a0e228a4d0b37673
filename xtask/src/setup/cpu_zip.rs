//! torch's own libtorch for the CPU, which needs no Python; fetched by `curl`.
//!
//! `curl` rather than a library: it honours the machine's proxies and certificates, and this program is
//! compiled before anything else. Where it is missing, or the server is out of reach, the wheels serve.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use super::release::Release;
use super::{sha256, unpack, wheels};
use crate::failure::{Doing, Failure, Result, fail};

/// How a download went that may fail without harm.
pub(super) enum Fetched {
    Done,
    /// Why, in a few words.
    Unreachable(String),
}

/// `curl`'s own exit code for a file that it could not write.
const WRITE_ERROR: i32 = 23;

/// Downloads into `scratch`, checks, and unpacks below `tree`.
pub(super) fn fetch(release: &Release, tree: &Path, scratch: &Path) -> Result<Fetched> {
    let url = release.zip.url;
    let (zip, headers) = (scratch.join("libtorch.zip"), scratch.join("headers"));
    let mut command = Command::new("curl");
    command.args(["--fail", "--location", "--show-error", "--progress-bar"]);
    command.args(["--connect-timeout", "3", "--proto-redir", "=https"]);
    // A server that stalls is given up after a minute, however long the whole takes.
    command.args(["--speed-limit", "1000", "--speed-time", "60"]);
    command.args(["--header", "x-amz-checksum-mode: ENABLED"]);
    command.arg("--dump-header").arg(&headers).arg("--output").arg(&zip).arg(url);

    let status = match command.status() {
        Ok(status) => status,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Fetched::Unreachable("there is no `curl`".to_owned()));
        }
        Err(error) => return Err(error).doing(|| "cannot start curl"),
    };
    if status.code() == Some(WRITE_ERROR) {
        return Err(Failure::disk_full(format!("curl could not write {}", zip.display())));
    }
    if !status.success() {
        // What came so far must not lie beside the wheels.
        drop(fs::remove_file(&zip));
        return Ok(Fetched::Unreachable(format!("curl ended with {status}")));
    }
    check(&zip, &fs::read_to_string(&headers).unwrap_or_default())?;
    let progress = wheels::bar("unpacking", None);
    unpack::unpack(&zip, release.zip.parts, tree, &progress)?;
    progress.finish_and_clear();
    Ok(Fetched::Done)
}

/// Holds the archive against what the server says of it.
///
/// The archive has no pinned checksum: torch publishes none beside it. So this checks its length and
/// whatever sum the server gives; unpacking checks the CRC of each member; and TLS vouches for the server.
fn check(zip: &Path, headers: &str) -> Result<()> {
    let found = fs::metadata(zip).doing(|| format!("cannot read {}", zip.display()))?.len();
    if let Some(length) = header(headers, "content-length").and_then(|text| text.parse().ok()) {
        let length: u64 = length;
        if length != found {
            return fail(format!(
                "libtorch's archive was cut short: {found} of {length} bytes came\n  nothing was installed: try again"
            ));
        }
    }
    let sums = ["x-amz-checksum-sha256", "x-amz-meta-checksum-sha256"];
    let Some(wanted) = sums.iter().find_map(|name| header(headers, name)) else {
        return Ok(());
    };
    // A sum of sums, for what was uploaded in parts, ends in their number.
    if wanted.contains('-') {
        return Ok(());
    }
    let progress = wheels::bar("checking", Some(found));
    let sum = sha256::of_file(zip, &progress)?;
    progress.finish_and_clear();
    if wanted == sha256::base64(&sum) {
        return Ok(());
    }
    sha256::require(zip, &wanted.to_ascii_lowercase(), &sum)
}

/// A header of the last answer: redirects' come before it.
fn header<'a>(headers: &'a str, name: &str) -> Option<&'a str> {
    let answer = headers.rfind("HTTP/").map_or(headers, |at| &headers[at..]);
    answer.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_held_against_what_the_server_says() {
        let dir = tempfile::tempdir().unwrap();
        let zip = dir.path().join("libtorch.zip");
        fs::write(&zip, "abc").unwrap();
        let good = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

        assert!(check(&zip, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n").is_ok());
        assert!(check(&zip, &format!("HTTP/2 200\r\nx-amz-checksum-sha256: {good}\r\n")).is_ok());
        assert!(check(&zip, &format!("HTTP/2 200\r\nx-amz-meta-checksum-sha256: {hex}\r\n")).is_ok());

        let text = check(&zip, "HTTP/2 200\r\ncontent-length: 9\r\n").unwrap_err().to_string();
        assert!(text.contains("3 of 9 bytes"), "{text}");
        let text = check(&zip, "HTTP/2 200\r\nx-amz-checksum-sha256: AAAA\r\n").unwrap_err().to_string();
        assert!(text.contains("wrong checksum") && text.contains(hex), "{text}");
    }

    #[test]
    fn only_the_last_answers_headers_count() {
        let headers = "HTTP/1.1 302 Found\r\ncontent-length: 5\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n";
        assert_eq!(header(headers, "Content-Length"), Some("3"));
        assert_eq!(header(headers, "etag"), None);
    }
}

//! What a person reads who has made a mistake: each says what is wrong and what to do.

use std::process::Command;
use std::time::Duration;

use trainloop_checkpoint::{RunStorage, StorageOptions};

use crate::backend::{options, s3_options};
use crate::servers;

/// The error of a run's first request.
fn refusal(url: &str, options: StorageOptions) -> String {
    let folder = tempfile::tempdir().unwrap();
    let options = options.retry_for(Duration::from_millis(300));
    let storage = RunStorage::open(url, folder.path(), options);
    let error = storage.and_then(|storage| storage.lock().map(drop)).unwrap_err().to_string();
    assert!(error.contains(url), "{error}");
    assert!(error.len() < 1_000, "{error}");
    error
}

#[test]
fn a_bucket_that_is_not_there() {
    if servers::are_skipped() {
        return;
    }
    let error = refusal("s3://nowhere/run", s3_options(&servers::s3().url()));
    assert!(error.contains("there is no bucket s3://nowhere; make it"), "{error}");
    let endpoint = format!("{}/{}", servers::azure().url(), servers::ACCOUNT);
    let azure =
        options().setting("azure_storage_account_name", servers::ACCOUNT).setting("azure_storage_endpoint", endpoint);
    let error = refusal("az://nowhere/run", azure.clone().setting("azure_storage_account_key", servers::KEY));
    assert!(error.contains("there is no bucket az://nowhere; make it"), "{error}");
    let error = refusal("az://runs/run", azure.setting("azure_storage_account_key", "d3Jvbmc="));
    assert!(
        error.contains("access is denied; the credentials") && error.contains("AZURE_STORAGE_ACCOUNT_KEY"),
        "{error}"
    );
}

#[test]
fn a_service_that_is_not_there() {
    // A port on which nobody listens: one that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = refusal("s3://runs/run", s3_options(&format!("http://127.0.0.1:{port}")));
    assert!(error.contains("cannot be reached; look at the network, the endpoint and the region"), "{error}");
}

#[test]
fn credentials_that_are_missing_wrong_or_not_enough() {
    if servers::are_skipped() {
        return;
    }
    // Free are: making the bucket, the user, and the user's key.
    let server = servers::moto(Some(3));
    let program = "import boto3, sys\n\
        at = dict(endpoint_url=sys.argv[1], region_name='us-east-1', aws_access_key_id='x', aws_secret_access_key='x')\n\
        boto3.client('s3', **at).create_bucket(Bucket='runs')\n\
        iam = boto3.client('iam', **at)\n\
        iam.create_user(UserName='nobody')\n\
        key = iam.create_access_key(UserName='nobody')['AccessKey']\n\
        print(key['AccessKeyId'], key['SecretAccessKey'])\n";
    let made = Command::new(servers::python()).args(["-c", program, &server.url()]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made = String::from_utf8(made.stdout).unwrap();
    let (id, secret) = made.trim().split_once(' ').unwrap();
    let with = |id: &str, secret: &str| {
        options()
            .setting("aws_endpoint", server.url())
            .setting("aws_region", "us-east-1")
            .setting("aws_access_key_id", id)
            .setting("aws_secret_access_key", secret)
    };
    for wrong in [with("AKIAWRONG", "x"), with(id, "wrong")] {
        let error = refusal("s3://runs/run", wrong);
        assert!(error.contains("the credentials are wrong") && error.contains("AWS_SECRET_ACCESS_KEY"), "{error}");
    }
    let error = refusal("s3://runs/run", with(id, secret));
    assert!(error.contains("access is denied; the credentials need the right to"), "{error}");
    // None at all: those of a machine in the cloud are asked for, where nobody answers.
    let none = options().setting("aws_endpoint", server.url()).setting("aws_metadata_endpoint", "http://127.0.0.1:9");
    if std::env::vars().all(|(name, _)| !name.starts_with("AWS_")) {
        let error = refusal("s3://runs/run", none);
        assert!(error.contains("no credentials were found") && error.contains("AWS_ACCESS_KEY_ID"), "{error}");
    }
}

#[test]
fn settings_and_urls_that_mean_nothing() {
    let error = refusal("s3://runs/run", options().setting("aws_colour", "blue"));
    assert!(error.contains("`aws_colour` is no setting of the storage"), "{error}");
    let error = refusal("ftp://runs/run", options());
    assert!(error.contains("s3://, gs:// or az://"), "{error}");
    let error = refusal("gs://runs/run", options().setting("google_service_account", "/nowhere/key.json"));
    assert!(error.contains("cannot be used") && error.contains("GOOGLE_APPLICATION_CREDENTIALS"), "{error}");
}

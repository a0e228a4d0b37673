//! A run in S3 whose driver and workers are killed goes on from a machine that has nothing of it, to weights that are
//! bit-equal to those of a run in a folder that was never killed.

mod common;
mod resume_common;
#[allow(dead_code, reason = "the tests of checkpoints use more of it")]
#[path = "../../checkpoint/tests/storage/servers.rs"]
mod servers;

use common::Sandbox;
use resume_common::{Plan, fault};
use trainloop_tests::fault::{Act, Moment};

#[test]
fn a_run_in_s3_that_is_killed_goes_on_from_another_machine() {
    if servers::are_skipped() {
        return;
    }
    let sandbox = Sandbox::new();
    let plan = Plan { every: Some(3), ..Plan::new("killed", 2) };
    let whole = plan.named("whole").finish(&sandbox, &[]);

    // Another machine is another cache.
    let on = |machine: &str| {
        let environment = vec![
            ("AWS_ENDPOINT_URL", servers::s3().url()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("TRAINLOOP_CACHE", sandbox.path().join(machine).display().to_string()),
        ];
        Plan { storage: Some(("s3://runs/end to end".to_owned(), environment)), ..plan.clone() }
    };
    let ended = on("first").end(&sandbox, &[fault(1, Moment::Step(5), Act::KillBoth)]);
    assert_eq!(ended.code, None, "{ended:#?}");
    let resumed = on("second").finish(&sandbox, &[]);
    resumed.assert_is(&whole, &[1, 4]);
    assert_eq!(resumed.stderr, "", "nothing is amiss after a kill");
    assert!(!sandbox.storage().join("killed").exists(), "nothing lies in the folder");

    // On a third one that has ended already, there is nothing left to do.
    let again = on("third").finish(&sandbox, &[]);
    assert_eq!(again.outcome["reports"], whole.outcome["reports"]);
}

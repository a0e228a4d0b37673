//! A cluster of Slurm's on this machine, of one node, with everything of it in a test's folder.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::common::{Sandbox, await_that};

/// munge, the controller and the node's daemon; ended when dropped.
pub(crate) struct Slurm {
    configuration: PathBuf,
    daemons: Vec<Child>,
}

impl Slurm {
    /// `None`, and a line that says why, where it is not installed or this user may not run it.
    pub(crate) fn start(sandbox: &Sandbox) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let installed = |program| std::env::split_paths(&path).any(|folder| folder.join(program).exists());
        if !["munged", "slurmctld", "slurmd", "srun"].into_iter().all(installed) {
            println!("not tried: Slurm is not there; on Debian: apt-get install slurm-wlm");
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            println!("not tried: Slurm's daemons need root");
            return None;
        }
        let folder = sandbox.path().join("slurm");
        std::fs::create_dir_all(folder.join("state")).unwrap();
        let mut slurm = Self { configuration: folder.join("slurm.conf"), daemons: Vec::new() };
        slurm.start_munge(&folder);
        std::fs::write(&slurm.configuration, configuration(&folder)).unwrap();
        slurm.start_daemon(&folder, "slurmctld", &["-D", "-c"]);
        slurm.start_daemon(&folder, "slurmd", &["-D", "-c"]);
        await_that("Slurm's node is idle", || {
            let output = slurm.knows(Command::new("sinfo")).args(["-h", "-o", "%t"]).output().unwrap();
            output.stdout.starts_with(b"idle")
        });
        Some(slurm)
    }

    /// The command, where it is Slurm's, asks this cluster.
    pub(crate) fn knows(&self, mut command: Command) -> Command {
        command.env("SLURM_CONF", &self.configuration);
        command
    }

    fn start_munge(&mut self, folder: &Path) {
        let key = folder.join("key");
        std::fs::write(&key, [7; 64]).unwrap();
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
        let mut command = Command::new("munged");
        // By force: the folder for temporary files is everybody's.
        command.args(["--foreground", "--force", "--key-file"]).arg(key);
        for (option, file) in
            [("--socket", "socket"), ("--pid-file", "pid"), ("--log-file", "log"), ("--seed-file", "seed")]
        {
            command.arg(option).arg(folder.join(file));
        }
        self.daemons.push(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        await_that("munge listens", || folder.join("socket").exists());
    }

    fn start_daemon(&mut self, folder: &Path, program: &str, options: &[&str]) {
        let mut command = self.knows(Command::new(program));
        command.args(options).arg("-L").arg(folder.join(program).with_extension("log"));
        self.daemons.push(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

fn configuration(folder: &Path) -> String {
    let free_port = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (controller, daemon) = (free_port(), free_port());
    let [controller, daemon] = [controller, daemon].map(|listener| listener.local_addr().unwrap().port());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let host = host.trim().split('.').next().unwrap();
    let folder = folder.display();
    format!(
        "ClusterName=trainloop
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A job that is asked for again waits until its credentials have expired, and a second.
AuthInfo=socket={folder}/socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
"
    )
}

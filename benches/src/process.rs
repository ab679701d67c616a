//! A server as a process of its own, and what it takes: CPU time, memory, system calls, instructions.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio, exit};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How long a server has to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// A server that runs. It ends with this value.
pub struct Server {
    pub address: SocketAddr,
    process: Child,
    input: Option<ChildStdin>,
    log: Option<PathBuf>,
}

/// What a server is started by, which has something to say of it when it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Under {
    /// Counts the system calls: [`system_calls`].
    Strace,
    /// Counts the instructions, of the process's own and not the kernel's.
    Callgrind,
}

/// What a process has had of a CPU, and of memory for the first time.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    /// In nanoseconds.
    pub time: u64,
    /// How long something else had it instead, in nanoseconds.
    waited: u64,
    /// How much of the time the kernel had for this process, in ticks, and both together.
    ticks: [u64; 2],
    faults: u64,
}

/// Where servers run.
pub struct Host {
    program: PathBuf,
    /// The CPU that is theirs, if there are several.
    cpu: Option<usize>,
}

impl Host {
    /// Servers are to be of this program, on the first CPU. This thread and those that it starts keep to the others.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn new() -> io::Result<Self> {
        let program = env::current_exe()?;
        let mut others = sched_getaffinity(None)?;
        let cpu = (0..CpuSet::MAX_CPU).find(|&cpu| others.is_set(cpu)).filter(|_| others.count() > 1);
        if let Some(cpu) = cpu {
            others.unset(cpu);
            sched_setaffinity(None, &others)?;
        }
        Ok(Self { program, cpu })
    }

    /// Starts the server of this name, which is told these arguments.
    ///
    /// # Errors
    ///
    /// Those of starting it; that it does not say where it listens.
    pub fn start(&self, name: &str, args: &[String]) -> io::Result<Server> {
        self.spawn(Command::new(&self.program), name, args, None)
    }

    /// The same by a program that counts.
    ///
    /// # Errors
    ///
    /// As with [`start`](Self::start); that there is no such program.
    pub fn start_under(&self, under: Under, name: &str, args: &[String]) -> io::Result<Server> {
        let log = env::temp_dir().join(format!("ssekit-benches-{}-{under:?}", std::process::id()));
        let mut command = match under {
            Under::Strace => {
                let mut strace = Command::new("strace");
                strace.args(["-f", "-c", "-o"]).arg(&log);
                strace
            }
            Under::Callgrind => {
                let mut valgrind = Command::new("valgrind");
                valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
                valgrind.arg(format!("--log-file={}", log.display()));
                valgrind
            }
        };
        command.arg(&self.program);
        self.spawn(command, name, args, Some(log))
    }

    fn spawn(&self, mut command: Command, name: &str, args: &[String], log: Option<PathBuf>) -> io::Result<Server> {
        command.args(["--server", name]).args(args);
        if let Some(cpu) = self.cpu {
            command.args(["--cpu", &cpu.to_string()]);
        }
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) = (process.stdin.take(), process.stdout.take());
        // Whatever goes wrong from here on, it is ended.
        let nowhere = SocketAddr::from(([0; 4], 0));
        let mut server = Server { address: nowhere, process, input, log };
        let mut line = String::new();
        if let Some(output) = output {
            BufReader::new(output).read_line(&mut line)?;
        }
        server.address = line.trim().parse().map_err(|_| wrong(format!("{name} listens at {line:?}")))?;
        Ok(server)
    }
}

impl Server {
    /// What its threads have had of the CPU.
    ///
    /// # Errors
    ///
    /// There is no `/proc` as Linux has it.
    pub fn cpu(&self) -> io::Result<Cpu> {
        let process = PathBuf::from(format!("/proc/{}", self.process.id()));
        let (mut time, mut waited) = (0, 0);
        for thread in fs::read_dir(process.join("task"))? {
            let schedule = fs::read_to_string(thread?.path().join("schedstat"))?;
            time += first_number(&schedule)?;
            waited += second_number(&schedule)?;
        }
        let stat = fs::read_to_string(process.join("stat"))?;
        // Behind the name, which may have anything in it.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let [faults, user, system] = [7, 11, 12].map(|n| fields.get(n).and_then(|field| field.parse::<u64>().ok()));
        let (Some(faults), Some(user), Some(system)) = (faults, user, system) else { return Err(wrong(stat)) };
        Ok(Cpu { time, waited, ticks: [system, user + system], faults })
    }

    /// How many bytes it has for itself alone, of no file.
    ///
    /// # Errors
    ///
    /// There is no `/proc` as Linux has it.
    pub fn memory(&self) -> io::Result<u64> {
        let maps = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.process.id()))?;
        let line = maps.lines().find_map(|line| line.strip_prefix("Anonymous:"));
        Ok(first_number(line.unwrap_or_default())? * 1024)
    }

    /// Says a line to it.
    ///
    /// # Errors
    ///
    /// It does not listen any more.
    pub fn say(&mut self, line: &str) -> io::Result<()> {
        let Some(input) = &mut self.input else { return Err(io::ErrorKind::BrokenPipe.into()) };
        // In one piece, so that it is woken once.
        input.write_all(format!("{line}\n").as_bytes())
    }

    /// Ends it, and hands out what was said of it by what it was started by.
    ///
    /// # Errors
    ///
    /// It does not end; nothing was said.
    pub fn stop(mut self) -> io::Result<String> {
        self.end()?;
        let Some(log) = self.log.take() else { return Ok(String::new()) };
        let said = fs::read_to_string(&log)?;
        fs::remove_file(log)?;
        Ok(said)
    }

    fn end(&mut self) -> io::Result<()> {
        // It ends with its standard input. To kill strace would leave the server behind.
        drop(self.input.take());
        let start = Instant::now();
        while self.process.try_wait()?.is_none() {
            if start.elapsed() > GRACE {
                self.process.kill()?;
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has been said where it matters.
        let _ = self.end();
    }
}

impl Cpu {
    /// Nanoseconds since then.
    pub fn since(self, before: Self) -> f64 {
        (self.time - before.time) as f64
    }

    /// For how many nanoseconds since then something else had the CPU that it could have used.
    pub fn waited_since(self, before: Self) -> f64 {
        (self.waited - before.waited) as f64
    }

    /// How much of the nanoseconds since then was the kernel's, of 1.
    pub fn system_since(self, before: Self) -> f64 {
        let [system, all] = [0, 1].map(|n| (self.ticks[n] - before.ticks[n]) as f64);
        if all > 0.0 { system / all } else { 0.0 }
    }

    /// Page faults since then, for which no disk was read.
    pub fn faults_since(self, before: Self) -> f64 {
        (self.faults - before.faults) as f64
    }
}

/// Is a server, on that CPU, until the standard input ends. The lines of that are for `listen`.
///
/// # Errors
///
/// Those of the server.
pub fn be_server(
    cpu: Option<usize>,
    mut listen: impl FnMut(&str) + Send + 'static,
    serve: impl FnOnce(TcpListener) -> io::Result<()>,
) -> io::Result<()> {
    allow_connections()?;
    if let Some(cpu) = cpu {
        let mut cpus = CpuSet::new();
        cpus.set(cpu);
        sched_setaffinity(None, &cpus)?;
    }
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let mut output = io::stdout();
    writeln!(output, "{}", listener.local_addr()?)?;
    output.flush()?;
    thread::spawn(move || {
        io::stdin().lock().lines().map_while(Result::ok).for_each(|line| listen(&line));
        exit(0)
    });
    serve(listener)
}

/// Allows this process as many open files as it may have.
///
/// # Errors
///
/// Those of the system.
pub fn allow_connections() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

/// For how many nanoseconds something else had the CPU that this thread could have used.
///
/// # Errors
///
/// There is no `/proc` as Linux has it.
pub fn waited() -> io::Result<u64> {
    second_number(&fs::read_to_string("/proc/thread-self/schedstat")?)
}

fn second_number(text: &str) -> io::Result<u64> {
    first_number(text.split_once(' ').unwrap_or_default().1)
}

fn first_number(text: &str) -> io::Result<u64> {
    let number = text.split_whitespace().next().and_then(|number| number.parse().ok());
    number.ok_or_else(|| wrong(format!("no number in {text:?}")))
}

/// How often which system call was made, by what strace says.
pub fn system_calls(said: &str) -> BTreeMap<String, u64> {
    said.lines().filter_map(system_call).collect()
}

/// An error of what the other side has said.
pub(crate) fn wrong(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A line of strace's table: `% time, seconds, usecs/call, calls, errors or nothing, syscall`.
fn system_call(line: &str) -> Option<(String, u64)> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let (name, calls) = (fields.get(4..)?.last()?, fields[3].parse().ok()?);
    (*name != "total").then(|| ((*name).to_owned(), calls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strace_is_understood() {
        let said = "% time     seconds  usecs/call     calls    errors syscall\n\
                    ------ ----------- ----------- --------- --------- ----------------\n \
                    93.40    0.012345          12      1028           writev\n  \
                    0.10    0.000001           0        17         3 epoll_wait\n\
                    ------ ----------- ----------- --------- --------- ----------------\n\
                    100.00    0.012346           9      1045         3 total\n";
        let expected = [("epoll_wait".to_owned(), 17), ("writev".to_owned(), 1028)];
        assert_eq!(system_calls(said), BTreeMap::from(expected));
    }
}

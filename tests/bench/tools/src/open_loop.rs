//! Requests at a fixed rate: a slow answer does not hold the next request back, as it would not among real callers.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// Sends `rate` requests a second over so many connections, each with a thread and a share of the schedule, and prints
/// how long answers took. Time runs from when a request was due, where the answer before it held it up (so that one
/// slow answer counts for all that waited for it), else from when it was sent.
pub(crate) fn run(port: u16, rate: u32, connections: u32, seconds: u64) -> io::Result<()> {
    let start = Instant::now() + Duration::from_millis(50);
    let end = start + Duration::from_secs(seconds);
    let step = Duration::from_secs_f64(f64::from(connections) / f64::from(rate));
    let workers: Vec<_> = (0..connections)
        .map(|n| {
            let first = start + Duration::from_secs_f64(f64::from(n) / f64::from(rate));
            thread::spawn(move || one_connection(port, first, step, end))
        })
        .collect();
    let mut times = Vec::new();
    for worker in workers {
        times.extend(worker.join().map_err(|_| io::Error::other("a thread ended badly"))??);
    }
    times.sort_unstable();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).or(times.last()).copied().unwrap_or_default();
    let [p50, p90, p99, p999] = [0.5, 0.9, 0.99, 0.999].map(|share| at(share).as_secs_f64() * 1e6);
    println!(r#"{{"requests":{},"p50_us":{p50},"p90_us":{p90},"p99_us":{p99},"p999_us":{p999}}}"#, times.len());
    Ok(())
}

fn one_connection(port: u16, first: Instant, step: Duration, end: Instant) -> io::Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let request = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    let mut answer = Vec::new();
    let mut times = Vec::new();
    let mut due = first;
    while due < end {
        let now = Instant::now();
        let from = if now < due {
            thread::sleep(due - now);
            Instant::now()
        } else {
            due
        };
        stream.write_all(request.as_bytes())?;
        read_answer(&mut stream, &mut answer)?;
        times.push(from.elapsed());
        due += step;
    }
    Ok(times)
}

/// Reads a head and as many bytes as it announces.
fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>) -> io::Result<()> {
    answer.clear();
    let mut piece = [0; 4096];
    loop {
        let count = stream.read(&mut piece)?;
        let (read, _) = piece.split_at(count);
        answer.extend_from_slice(read);
        if count == 0 {
            return Err(io::Error::other("the connection was closed"));
        }
        let text = String::from_utf8_lossy(answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        if !head.starts_with("http/1.1 200") {
            return Err(io::Error::other(head));
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        if body.len() >= length.ok_or_else(|| io::Error::other("an answer without a length"))? {
            return Ok(());
        }
    }
}

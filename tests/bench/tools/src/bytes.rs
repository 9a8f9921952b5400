//! A protocol that is not HTTP: one line with a number of MiB, answered with as many bytes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

const MIB: usize = 1024 * 1024;
/// What one write or read moves.
const PIECE: usize = 256 * 1024;

/// Prints its port and serves until standard input ends.
pub(crate) fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A proxy that is stopped breaks its connections off.
            thread::spawn(move || drop(answer(&stream)));
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink()).map(drop)
}

fn answer(mut stream: &TcpStream) -> io::Result<()> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let wanted: usize = line.trim().parse().map_err(io::Error::other)?;
    let piece = vec![b'x'; PIECE];
    for _ in 0..wanted * MIB / PIECE {
        stream.write_all(&piece)?;
    }
    Ok(())
}

/// Pulls so many MiB through a port of this host.
pub(crate) fn pull(port: u16, mib: usize) -> io::Result<()> {
    let start = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    writeln!(stream, "{mib}")?;
    let mut piece = vec![0; PIECE];
    let mut left = mib * MIB;
    while left > 0 {
        match stream.read(&mut piece)? {
            0 => return Err(io::Error::other(format!("{left} bytes are missing"))),
            count => left = left.saturating_sub(count),
        }
    }
    println!(r#"{{"seconds":{}}}"#, start.elapsed().as_secs_f64());
    Ok(())
}

//! Clients that read little, or nothing, until the run ends.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::answer;
use crate::connection::{connect, waits};
use crate::options::Options;

/// Each client reads once a second; they take turns, so that the load is even.
const TURNS: usize = 20;

struct Client {
    socket: TcpStream,
    unsent: usize,
    start: Vec<u8>,
    began: bool,
}

pub(crate) fn hold(options: &Options) -> io::Result<()> {
    let rate = options.slow.unwrap_or_default() as usize;
    let mut buffer = vec![0; rate.max(4096)];
    let mut clients = Vec::with_capacity(options.connections);
    let ended = Arc::new(AtomicBool::new(false));
    let told = ended.clone();
    std::thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        told.store(true, Ordering::Relaxed);
    });
    // Some at a time, so that no queue of connections overflows.
    for from in (0..options.connections).step_by(100) {
        for at in from..options.connections.min(from + 100) {
            let socket = connect(options.address, at)?;
            // Room for what the kernel allows at first, also where the benchmark raises that for other sockets.
            socket2::SockRef::from(&socket).set_recv_buffer_size(64 * 1024)?;
            clients.push(Client { socket, unsent: 0, start: Vec::new(), began: false });
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let mut missing = None;
            for (at, client) in clients.iter_mut().enumerate().skip(from).filter(|(_, client)| !client.began)
            {
                begin(client, options, at)?;
                missing = Some(at);
            }
            let Some(at) = missing else { break };
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("download {at} has not begun after 30 s")));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    println!("ready");
    let mut turn = 0;
    while !ended.load(Ordering::Relaxed) {
        let next = Instant::now() + Duration::from_secs(1) / TURNS as u32;
        if rate > 0 {
            for client in clients.iter_mut().skip(turn % TURNS).step_by(TURNS) {
                read(client, &mut buffer[..rate])?;
            }
        }
        turn += 1;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

/// Sends a request, and reads the head of the answer.
fn begin(client: &mut Client, options: &Options, at: usize) -> io::Result<()> {
    let request = &options.targets[at % options.targets.len()].request;
    if client.unsent < request.len() {
        match client.socket.write(&request[client.unsent..]) {
            Ok(sent) => client.unsent += sent,
            Err(error) if waits(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    let mut buffer = [0; 512];
    match client.socket.read(&mut buffer) {
        Ok(0) => {
            return Err(io::Error::other(format!("download {at}: the server closed instead of answering")));
        }
        Ok(read) => client.start.extend_from_slice(&buffer[..read]),
        Err(error) if waits(&error) => return Ok(()),
        Err(error) => return Err(error),
    }
    if let Some(head) = answer::head(&client.start).map_err(io::Error::other)? {
        options.check(head, &client.start).map_err(io::Error::other)?;
        client.began = true;
        client.start = Vec::new();
    }
    Ok(())
}

fn read(client: &mut Client, mut room: &mut [u8]) -> io::Result<()> {
    while !room.is_empty() {
        match client.socket.read(room) {
            Ok(0) => return Err(io::Error::other("the server disconnected a slow client")),
            Ok(read) => room = &mut room[read..],
            Err(error) if waits(&error) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

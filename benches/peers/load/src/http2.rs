//! HTTP/2 over TLS: several streams on each connection, each with one request after the other.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio_rustls::TlsConnector;

use crate::Targets;
use crate::answer::Head;
use crate::connection::connect;
use crate::options::{Options, Target};
use crate::report::Tally;

struct Shared<'a> {
    targets: Targets<'a>,
    tally: Tally,
}

pub(crate) fn measure(options: &'static Options, streams: usize) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let began = Instant::now();
    let shared = Rc::new(RefCell::new(Shared { targets: Targets::new(options), tally: Tally::default() }));
    let tasks = LocalSet::new();
    let mut connections = Vec::new();
    for at in 0..options.connections {
        connections.push(tasks.spawn_local(connection(options, at, streams, shared.clone())));
    }
    tasks.block_on(&runtime, async {
        for connection in connections {
            connection.await.map_err(io::Error::other)??;
        }
        io::Result::Ok(())
    })?;
    std::mem::take(&mut shared.borrow_mut().tally).print(began.elapsed());
    Ok(())
}

async fn connection(
    options: &'static Options,
    at: usize,
    streams: usize,
    shared: Rc<RefCell<Shared<'static>>>,
) -> io::Result<()> {
    let config = options.tls.clone().ok_or_else(|| io::Error::other("--streams needs --trust"))?;
    let socket = TcpStream::from_std(connect(options.address, at)?)?;
    socket.writable().await?;
    let name = "localhost".try_into().map_err(io::Error::other)?;
    let stream = TlsConnector::from(config).connect(name, socket).await?;
    let (sender, connection) = h2::client::handshake(stream).await.map_err(io::Error::other)?;
    let driven = tokio::task::spawn_local(connection);
    let streams: Vec<_> = (0..streams)
        .map(|_| tokio::task::spawn_local(one_after_the_other(sender.clone(), options, shared.clone())))
        .collect();
    for stream in streams {
        stream.await.map_err(io::Error::other)??;
    }
    driven.abort();
    Ok(())
}

async fn one_after_the_other(
    sender: SendRequest<Bytes>,
    options: &Options,
    shared: Rc<RefCell<Shared<'static>>>,
) -> io::Result<()> {
    let mut sender = sender.ready().await.map_err(io::Error::other)?;
    loop {
        let Some(target) = shared.borrow_mut().targets.next()? else { return Ok(()) };
        let asked = Instant::now();
        let (answer, _) = sender.send_request(request(target)?, true).map_err(io::Error::other)?;
        let body = whole(answer, options, target).await?;
        shared.borrow_mut().tally.add(asked, body);
        sender = sender.ready().await.map_err(io::Error::other)?;
    }
}

fn request(target: &Target) -> io::Result<http::Request<()>> {
    let uri = format!("https://localhost{}", target.path);
    http::Request::get(uri).body(()).map_err(io::Error::other)
}

/// Reads an answer to its end and checks it, with `--compare` against the file too. Returns the length of its body.
async fn whole(answer: ResponseFuture, options: &Options, target: &Target) -> io::Result<u64> {
    let (head, mut body) = answer.await.map_err(io::Error::other)?.into_parts();
    let (mut bytes, mut kept) = (0, Vec::new());
    while let Some(part) = body.data().await {
        let part = part.map_err(io::Error::other)?;
        bytes += part.len() as u64;
        if options.compare {
            kept.extend_from_slice(&part);
        }
        body.flow_control().release_capacity(part.len()).map_err(io::Error::other)?;
    }
    let found = Head { length: 0, status: head.status.as_u16(), body: Some(bytes), closes: false };
    options.check(found, format!("{head:?}").as_bytes()).map_err(io::Error::other)?;
    match &target.file {
        Some(file) if options.compare && std::fs::read(file)? != kept => {
            Err(io::Error::other(format!("{}: the bytes are not the file's", target.path)))
        }
        _ => Ok(bytes),
    }
}

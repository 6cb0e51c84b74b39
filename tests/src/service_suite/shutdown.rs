//! Asked to stop.

use tokio::net::TcpStream;

use super::{Program, process::ALICE};
use crate::raw_http::RawRequest;

pub async fn a_request_at_hand_is_finished_before_it_stops(program: &Program) {
    let mut service = program.start(&[]);
    let body = format!(r#"{{"username":"{}","password":"{}"}}"#, ALICE.0, ALICE.1);
    let request = RawRequest::new("POST", "/login")
        .header("content-type", "application/json")
        .header("content-length", body.len().to_string())
        .header("expect", "100-continue");
    let mut login = request.begin(service.address()).await;
    // The handler waits for the body now.
    login.read_until("100 Continue").await;

    service.terminate();
    service.until_logged("finishing the requests at hand").await;
    while TcpStream::connect(service.address()).await.is_ok() {}
    assert!(service.runs());
    login.write(body.as_bytes()).await;
    let response = login.read_until("expires_in").await;
    assert!(response.contains("HTTP/1.1 200 OK"), "{response}");
    let (_, token) = response.split_once("\"access_token\":\"").unwrap();
    let (token, _) = token.split_once('"').unwrap();
    program.keep_secret(token.rsplit('.').next().unwrap());
    assert!(service.ended().success());

    // What it handed out is good.
    let service = program.start(&[]);
    assert_eq!(service.decision(token).await, 200);
}

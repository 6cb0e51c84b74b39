//! The tower layer in stacks of all kinds: bare tower, hyper, axum's routers, `ServiceBuilder`.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{
    convert::Infallible,
    future::{self, Future as _},
    pin::pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
};

use axum::{Router, routing::get};
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use jwt_revoke_core::{Access, guard::Target, session::Issued};
use jwt_revoke_tests::{
    controlled_store::Mood,
    http_suite::{Fixture, Running, Server},
    raw_http::RawRequest,
};
use tower::{ServiceBuilder, ServiceExt as _, service_fn, util::BoxCloneSyncService};
use tower_jwt_revoke::{AuthUser, RequireScopeLayer, ResponseBody, RevocationLayer};
use tower_layer::Layer as _;
use tower_service::Service;

type Text = Full<Bytes>;

/// Answers the subject, from the extensions.
async fn who(request: Request<()>) -> Result<Response<Text>, Infallible> {
    let access = request.extensions().get::<Access>();
    let subject = access.and_then(Access::subject).map(ToString::to_string);
    Ok(Response::new(subject.unwrap_or_default().into()))
}

fn request(token: &Issued) -> Request<()> {
    Request::get("/")
        .header("authorization", format!("Bearer {}", token.token()))
        .body(())
        .unwrap()
}

async fn text<B: Body<Data = Bytes>>(response: Response<B>) -> String
where
    B::Error: std::fmt::Debug,
{
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn a_decision_at_hand_needs_no_second_poll() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    fixture.store.answer_at_once(true);
    let ready = service_fn(|_: Request<()>| future::ready(Ok::<_, Infallible>(Response::new(()))));
    let mut service = RevocationLayer::new(fixture.guard).layer(ready);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let response = pin!(service.call(request(&alice)));
    let Poll::Ready(Ok(response)) = response.poll(&mut cx) else {
        panic!("pending");
    };
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_refused_request_never_reaches_the_service() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    fixture
        .guard
        .revoke(Target::subject("alice"))
        .await
        .unwrap();
    let unreachable = service_fn(
        |_: Request<()>| -> future::Ready<Result<Response<Text>, Infallible>> {
            panic!("a revoked token got through")
        },
    );
    let layer = RevocationLayer::new(fixture.guard.clone());
    let response = layer
        .layer(unreachable)
        .oneshot(request(&alice))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_instance_that_was_polled_ready_is_the_one_that_is_called() {
    /// Panics when called without being ready; a clone starts anew.
    struct Strict(bool);
    impl Clone for Strict {
        fn clone(&self) -> Self {
            Self(false)
        }
    }
    impl Service<Request<()>> for Strict {
        type Response = Response<Text>;
        type Error = Infallible;
        type Future = future::Ready<Result<Response<Text>, Infallible>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            self.0 = true;
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: Request<()>) -> Self::Future {
            assert!(std::mem::take(&mut self.0), "called before it was ready");
            future::ready(Ok(Response::default()))
        }
    }
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let mut service = RevocationLayer::new(fixture.guard.clone()).layer(Strict(false));
    for at_once in [false, true, false] {
        fixture.store.answer_at_once(at_once);
        let response = service.ready().await.unwrap().call(request(&alice)).await;
        assert_eq!(response.unwrap().status(), StatusCode::OK);
        // One that is not called gives back what it holds, such as a place among a limited number.
        let response = service.ready().await.unwrap().call(Request::new(())).await;
        assert_eq!(response.unwrap().status(), StatusCode::UNAUTHORIZED);
        assert!(!service.get_ref().0);
    }
}

#[tokio::test]
async fn the_error_of_the_service_passes_unchanged() {
    #[derive(Debug, PartialEq)]
    struct Mine;
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let failing = service_fn(async |_: Request<()>| Err::<Response<Text>, _>(Mine));
    let service = RevocationLayer::new(fixture.guard).layer(failing);
    assert_eq!(service.oneshot(request(&alice)).await.unwrap_err(), Mine);
}

#[tokio::test]
async fn dropping_a_request_while_the_store_is_asked_leaves_nothing_behind() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let handles = fixture.store.handles();
    fixture.store.set(Mood::Hangs);
    let witness = Arc::new(());
    let held: Weak<()> = Arc::downgrade(&witness);
    let inner = service_fn(move |request: Request<()>| {
        let _witness = Arc::clone(&witness);
        who(request)
    });
    let service = RevocationLayer::new(fixture.guard.clone()).layer(inner);
    let mut pending = Box::pin(service.oneshot(request(&alice)));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pending.as_mut().poll(&mut cx).is_pending());
    assert_eq!(fixture.store.waiting(), 1);
    assert!(held.upgrade().is_some());
    drop(pending);
    assert_eq!(fixture.store.waiting(), 0);
    assert_eq!(fixture.store.handles(), handles);
    assert!(held.upgrade().is_none());
}

#[tokio::test]
async fn frames_and_trailers_pass_as_they_are() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    // The body of a gRPC response: data, then the status in trailers.
    let grpc = service_fn(async |_: Request<()>| {
        let trailers =
            HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        let frames = [
            Ok::<_, Infallible>(Frame::data(Bytes::from("data"))),
            Ok(Frame::trailers(trailers)),
        ];
        Ok::<_, Infallible>(Response::new(StreamBody::new(stream::iter(frames))))
    });
    let service = RevocationLayer::new(fixture.guard).layer(grpc);
    let response = service.oneshot(request(&alice)).await.unwrap();
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(collected.to_bytes(), "data");
}

#[tokio::test]
async fn the_size_of_the_inner_body_stays_known() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let service = RevocationLayer::new(fixture.guard).layer(service_fn(who));
    let response = service.oneshot(request(&alice)).await.unwrap();
    assert_eq!(response.body().size_hint().exact(), Some(5));
    assert!(!response.body().is_end_stream());
    // Layers that answer for the service, such as a timeout, need one to begin with.
    assert!(ResponseBody::<Text>::default().is_end_stream());
}

#[tokio::test]
async fn t9_headers_beyond_what_a_server_reads_are_refused_too() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let service = RevocationLayer::new(fixture.guard.clone()).layer(service_fn(who));
    let status = async |request| service.clone().oneshot(request).await.unwrap().status();

    let megabyte = format!("Bearer {}", "a".repeat(1 << 20));
    let request_of = |values: &[&str]| {
        let mut request = Request::new(());
        for value in values {
            request
                .headers_mut()
                .append("authorization", value.parse().unwrap());
        }
        request
    };
    assert_eq!(
        status(request_of(&[&megabyte])).await,
        StatusCode::UNAUTHORIZED
    );
    let good = format!("Bearer {}", alice.token());
    assert_eq!(
        status(request_of(&vec![good.as_str(); 10_000])).await,
        StatusCode::BAD_REQUEST
    );

    let mut crowded = request(&alice);
    for index in 0..10_000 {
        let name = http::HeaderName::try_from(format!("x-{index}")).unwrap();
        crowded.headers_mut().append(name, "x".parse().unwrap());
    }
    assert_eq!(status(crowded).await, StatusCode::OK);

    let cookies = RevocationLayer::new(fixture.guard).from_cookie("session");
    let mut many = Request::new(());
    let field = "session=a; ".repeat(10_000) + "session=b";
    many.headers_mut().insert("cookie", field.parse().unwrap());
    let response = cookies.layer(service_fn(who)).oneshot(many).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_service_builder_takes_both_layers_and_the_boxed_service_is_send_and_sync() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let service = ServiceBuilder::new()
        .layer(RevocationLayer::new(fixture.guard))
        .layer(RequireScopeLayer::new(Default::default()))
        .service(service_fn(who));
    let boxed = BoxCloneSyncService::new(service);
    assert_eq!(
        text(boxed.oneshot(request(&alice)).await.unwrap()).await,
        "alice"
    );
}

#[tokio::test]
async fn plain_hyper_is_served_without_axum() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = ServiceBuilder::new()
        .layer(RevocationLayer::new(fixture.guard.clone()))
        .map_request(|request: Request<hyper::body::Incoming>| request.map(drop))
        .service(service_fn(who));
    let stop = Box::new(tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(service.clone());
            let http1 = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http1.serve_connection(TokioIo::new(stream), service));
        }
    }));
    let server = Server::new(fixture, Running { address, stop });
    Server::assert_ok(&server.get("/", alice.token()).await, "alice");
    assert_eq!(server.get("/", "a.b.c").await.status, 401);
    assert_eq!(server.send(RawRequest::get("/")).await.status, 401);
    server.assert_that_no_token_leaked();
}

async fn user(user: AuthUser) -> String {
    user.subject().unwrap().to_string()
}

/// The status for a path, without and with a token.
async fn statuses(app: &Router, token: &Issued, path: &str) -> [u16; 2] {
    let ask = async |mut request: Request<()>| {
        *request.uri_mut() = path.parse().unwrap();
        let request = request.map(|()| axum::body::Body::empty());
        app.clone()
            .oneshot(request)
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    [ask(Request::new(())).await, ask(request(token)).await]
}

#[tokio::test]
async fn a_route_layer_guards_routes_and_leaves_unknown_paths_404() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let app = Router::new()
        .route("/me", get(user))
        .route_layer(RevocationLayer::new(fixture.guard))
        .route("/public", get(|| async {}));
    assert_eq!(statuses(&app, &alice, "/me").await, [401, 200]);
    assert_eq!(statuses(&app, &alice, "/public").await, [200, 200]);
    assert_eq!(statuses(&app, &alice, "/unknown").await, [404, 404]);
}

#[tokio::test]
async fn a_router_layer_guards_the_fallback_too() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let app = Router::new()
        .route("/me", get(user))
        .layer(RevocationLayer::new(fixture.guard))
        .route("/public", get(|| async {}));
    assert_eq!(statuses(&app, &alice, "/me").await, [401, 200]);
    assert_eq!(statuses(&app, &alice, "/public").await, [200, 200]);
    assert_eq!(statuses(&app, &alice, "/unknown").await, [401, 404]);
}

#[tokio::test]
async fn layers_of_nested_routers_guard_their_own_part() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let layer = || RevocationLayer::new(fixture.guard.clone());
    let admin = RequireScopeLayer::new(jwt_revoke_tests::http_suite::admin());
    let deep = Router::new().route("/deep", get(user)).route_layer(layer());
    let barred = Router::new().route("/barred", get(user)).route_layer(admin);
    let inner = Router::new()
        .route("/me", get(user))
        .nest("/more", deep)
        .merge(barred);
    let app = Router::new()
        .nest("/api", inner.route_layer(layer()))
        .route("/open", get(|| async {}));
    assert_eq!(statuses(&app, &alice, "/api/me").await, [401, 200]);
    assert_eq!(statuses(&app, &alice, "/api/more/deep").await, [401, 200]);
    assert_eq!(statuses(&app, &alice, "/api/barred").await, [401, 403]);
    assert_eq!(statuses(&app, &alice, "/open").await, [200, 200]);
    // login, /api/me, /api/more/deep, /api/barred: each asked once, however many layers.
    assert_eq!(fixture.store.lookups(), 4);
}

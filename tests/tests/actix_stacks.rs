//! The middleware in stacks of all kinds: `App`, `Scope`, `Resource` and `Route`, and other middleware
//! around it.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{
    cell::Cell,
    future::poll_fn,
    net::TcpListener,
    rc::Rc,
    sync::{Arc, Weak},
    task::{Context, Waker},
};

use actix_cors::Cors;
use actix_jwt_revoke::{AuthUser, MaybeAuthUser, RequireScopeLayer, RevocationLayer, Routes};
use actix_web::{
    App, Error, HttpMessage as _, HttpRequest, HttpResponse,
    dev::{Service, ServiceRequest, ServiceResponse, Transform, fn_service},
    middleware::{Compress, DefaultHeaders, Logger, NormalizePath},
    test::{TestRequest, init_service, read_body, try_call_service},
    web::{self, Bytes, ServiceConfig},
};
use futures::{StreamExt as _, stream};
use jwt_revoke_core::{
    Access, Guard,
    guard::Target,
    session::{Issued, Sessions},
    store::EmbeddedStore,
};
use jwt_revoke_tests::{
    actix_server::ActixServer,
    controlled_store::Mood,
    http_suite::{Fixture, Running, Server, admin},
    raw_http::RawRequest,
};

async fn user(user: AuthUser) -> String {
    user.subject().unwrap().to_string()
}

fn request(path: &str, token: Option<&Issued>) -> TestRequest {
    let request = TestRequest::with_uri(path);
    match token {
        Some(token) => {
            request.insert_header(("authorization", format!("Bearer {}", token.token())))
        }
        None => request,
    }
}

/// The status for a path, without and with a token. A macro, since the type of requests has no name
/// in actix-web.
macro_rules! statuses {
    ($app:expr, $token:expr, $path:expr) => {{
        let mut statuses = [0; 2];
        for (status, token) in statuses.iter_mut().zip([None, Some($token)]) {
            let response = try_call_service($app, request($path, token).to_request()).await;
            *status = match response {
                Ok(response) => response.status().as_u16(),
                Err(error) => error.error_response().status().as_u16(),
            };
        }
        statuses
    }};
}

#[actix_web::test]
async fn around_an_app_it_guards_unknown_paths_too() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let app = App::new()
        .route("/me", web::get().to(user))
        .wrap(RevocationLayer::new(fixture.guard.clone()));
    let app = init_service(app).await;
    assert_eq!(statuses!(&app, &alice, "/me"), [401, 200]);
    assert_eq!(statuses!(&app, &alice, "/unknown"), [401, 404]);
}

#[actix_web::test]
async fn around_a_scope_a_resource_or_a_route_it_guards_just_that() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let layer = || RevocationLayer::new(fixture.guard.clone());
    let app = App::new()
        .service(
            web::scope("/scope")
                .route("/me", web::get().to(user))
                .service(
                    web::resource("/admin")
                        .to(user)
                        .wrap(RequireScopeLayer::new(admin())),
                )
                .service(
                    web::scope("/deep")
                        .route("/me", web::get().to(user))
                        .wrap(layer()),
                )
                .wrap(layer()),
        )
        .service(
            web::resource("/resource")
                .route(web::post().to(user))
                .wrap(layer()),
        )
        .service(web::resource("/route").route(web::post().to(user).wrap(layer())))
        .route("/open", web::get().to(HttpResponse::Ok));
    let app = init_service(app).await;
    assert_eq!(statuses!(&app, &alice, "/scope/me"), [401, 200]);
    assert_eq!(statuses!(&app, &alice, "/scope/deep/me"), [401, 200]);
    assert_eq!(statuses!(&app, &alice, "/scope/admin"), [401, 403]);
    // login, and each path once, however many layers.
    assert_eq!(fixture.store.lookups(), 4);
    assert_eq!(statuses!(&app, &alice, "/scope/unknown"), [401, 404]);
    assert_eq!(statuses!(&app, &alice, "/resource"), [401, 405]);
    assert_eq!(statuses!(&app, &alice, "/route"), [405, 405]);
    assert_eq!(statuses!(&app, &alice, "/open"), [200, 200]);
    assert_eq!(statuses!(&app, &alice, "/unknown"), [404, 404]);
}

#[actix_web::test]
async fn companion_routes_know_other_methods_and_unknown_paths() {
    let issuer = Fixture::new().issuer;
    let guard = Guard::new(issuer.verifier(), EmbeddedStore::in_memory());
    let sessions = Sessions::new(&guard, issuer);
    let auth = web::scope("/{sid}/auth").service(Routes::new(&sessions));
    let app = init_service(App::new().service(auth)).await;
    for (path, allow) in [
        ("/a/auth/refresh", "POST"),
        ("/a/auth/logout-all", "POST"),
        ("/a/auth/sessions", "GET,HEAD"),
        ("/a/auth/sessions/b", "DELETE"),
    ] {
        let wrong = TestRequest::patch().uri(path).to_request();
        let response = try_call_service(&app, wrong).await.unwrap();
        assert_eq!(response.status(), 405, "{path}");
        assert_eq!(response.headers().get("allow").unwrap(), allow);
    }
    let unknown = request("/a/auth/unknown", None).to_request();
    assert_eq!(try_call_service(&app, unknown).await.unwrap().status(), 404);

    // Nested below a parameter of the same name, a session is found by its own.
    let attempt = sessions.begin().await.unwrap();
    let pair = sessions
        .login(attempt, "alice", &Default::default())
        .await
        .unwrap();
    let bearer = ("authorization", format!("Bearer {}", pair.access_token()));
    let end = TestRequest::delete()
        .uri(&format!("/a/auth/sessions/{}", pair.session()))
        .insert_header(bearer)
        .to_request();
    assert_eq!(try_call_service(&app, end).await.unwrap().status(), 204);
}

#[actix_web::test]
async fn other_middleware_around_it_sees_refusals_like_any_response() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let app = App::new()
        .route("/me", web::get().to(user))
        .wrap(RevocationLayer::new(fixture.guard.clone()))
        .wrap(DefaultHeaders::new().add(("x-mine", "1")))
        .wrap(Logger::default())
        .wrap(NormalizePath::trim())
        .wrap(Compress::default())
        .wrap(
            Cors::default()
                .allowed_origin("https://app.example.com")
                .allowed_methods(["GET"])
                .allow_any_header(),
        );
    let app = init_service(app).await;
    for (token, status) in [(None, 401), (Some(&alice), 200)] {
        let request = request("/me/", token)
            .insert_header(("origin", "https://app.example.com"))
            .insert_header(("accept-encoding", "identity"))
            .to_request();
        let response = try_call_service(&app, request).await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers().get("x-mine").unwrap(), "1");
        let origin = response
            .headers()
            .get("access-control-allow-origin")
            .unwrap();
        assert_eq!(origin, "https://app.example.com");
        let challenge = response.headers().contains_key("www-authenticate");
        assert_eq!(challenge, status == 401);
        let body = read_body(response).await;
        assert!(
            body.starts_with(if status == 200 { b"alice" } else { b"{\"error" }),
            "{body:?}"
        );
    }
    // A preflight carries no token, and is answered outside of the layer.
    let preflight = TestRequest::with_uri("/me")
        .method(actix_web::http::Method::OPTIONS)
        .insert_header(("origin", "https://app.example.com"))
        .insert_header(("access-control-request-method", "GET"))
        .insert_header(("access-control-request-headers", "authorization"))
        .to_request();
    assert_eq!(
        try_call_service(&app, preflight).await.unwrap().status(),
        200
    );
}

#[actix_web::test]
async fn compressed_or_not_a_response_is_the_same() {
    let fixture = Fixture::new();
    let app = App::new()
        .route("/me", web::get().to(user))
        .wrap(RevocationLayer::new(fixture.guard.clone()))
        .wrap(Compress::default());
    let app = init_service(app).await;
    let request = request("/me", None)
        .insert_header(("accept-encoding", "gzip"))
        .to_request();
    let response = try_call_service(&app, request).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers().get("content-encoding").unwrap(), "gzip");
    assert!(response.headers().contains_key("www-authenticate"));
    // The magic number of gzip.
    assert!(read_body(response).await.starts_with(b"\x1f\x8b"));
}

#[actix_web::test]
async fn handlers_and_services_need_not_be_send() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let calls = Rc::new(Cell::new(0));
    let shared = Rc::clone(&calls);
    let count = move |user: AuthUser| {
        let calls = Rc::clone(&shared);
        async move {
            let held = Rc::new(user);
            tokio::task::yield_now().await;
            calls.set(calls.get() + 1);
            held.subject().unwrap().to_string()
        }
    };
    let layer = RevocationLayer::new(fixture.guard.clone());
    let app = App::new().route("/me", web::get().to(count).wrap(layer));
    let app = init_service(app).await;
    for at_once in [false, true] {
        fixture.store.answer_at_once(at_once);
        assert_eq!(statuses!(&app, &alice, "/me"), [401, 200]);
    }
    assert_eq!(calls.get(), 2);
}

#[actix_web::test]
async fn a_refused_request_never_reaches_the_service_and_leaves_no_access() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    fixture
        .guard
        .revoke(Target::subject("alice"))
        .await
        .unwrap();
    let unreachable = fn_service(|_: ServiceRequest| async {
        Err::<ServiceResponse, Error>(actix_web::error::ErrorImATeapot(
            "a revoked token got through",
        ))
    });
    let service = RevocationLayer::new(fixture.guard.clone())
        .new_transform(unreachable)
        .await
        .unwrap();
    let response = service
        .call(request("/", Some(&alice)).to_srv_request())
        .await
        .unwrap();
    assert_eq!(response.status(), 401);
    assert!(response.request().extensions().get::<Access>().is_none());
}

#[actix_web::test]
async fn the_error_of_the_service_passes_unchanged() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    for at_once in [false, true] {
        fixture.store.answer_at_once(at_once);
        let failing = fn_service(|_: ServiceRequest| async {
            Err::<ServiceResponse, Error>(actix_web::error::ErrorImATeapot("mine"))
        });
        let layer = RevocationLayer::new(fixture.guard.clone());
        let service = layer.new_transform(failing).await.unwrap();
        let error = service
            .call(request("/", Some(&alice)).to_srv_request())
            .await
            .err()
            .unwrap();
        assert_eq!(error.to_string(), "mine");
    }
}

#[actix_web::test]
async fn a_decision_at_hand_needs_no_second_poll() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    fixture.store.answer_at_once(true);
    let ok = fn_service(|request: ServiceRequest| async {
        Ok::<_, Error>(request.into_response(HttpResponse::Ok()))
    });
    let service = RevocationLayer::new(fixture.guard.clone())
        .new_transform(ok)
        .await
        .unwrap();
    poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
    let mut response = Box::pin(service.call(request("/", Some(&alice)).to_srv_request()));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(response.as_mut().poll(&mut cx).is_ready());
}

#[actix_web::test]
async fn dropping_a_request_while_the_store_is_asked_leaves_nothing_behind() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let handles = fixture.store.handles();
    fixture.store.set(Mood::Hangs);
    let witness = Rc::new(());
    let held = Rc::downgrade(&witness);
    let inner = fn_service(move |request: ServiceRequest| {
        let _witness = Rc::clone(&witness);
        async { Ok::<_, Error>(request.into_response(HttpResponse::Ok())) }
    });
    let service = RevocationLayer::new(fixture.guard.clone())
        .new_transform(inner)
        .await
        .unwrap();
    let mut pending = Box::pin(service.call(request("/", Some(&alice)).to_srv_request()));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pending.as_mut().poll(&mut cx).is_pending());
    assert_eq!(fixture.store.waiting(), 1);
    drop((pending, service));
    assert_eq!(fixture.store.waiting(), 0);
    assert_eq!(fixture.store.handles(), handles);
    assert!(held.upgrade().is_none());
}

#[actix_web::test]
async fn t9_headers_beyond_what_a_server_reads_are_refused_too() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let layer = RevocationLayer::new(fixture.guard.clone());
    let app = App::new()
        .route("/me", web::get().to(user).wrap(layer.clone()))
        .route(
            "/cookie",
            web::get().to(user).wrap(layer.from_cookie("session")),
        );
    let app = init_service(app).await;
    let status = async |request: TestRequest| {
        try_call_service(&app, request.to_request())
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    let megabyte = ("authorization", format!("Bearer {}", "a".repeat(1 << 20)));
    assert_eq!(
        status(TestRequest::with_uri("/me").insert_header(megabyte)).await,
        401
    );
    let mut twins = request("/me", None);
    for _ in 0..10_000 {
        twins = twins.append_header(("authorization", format!("Bearer {}", alice.token())));
    }
    assert_eq!(status(twins).await, 400);
    let mut crowded = request("/me", Some(&alice));
    for index in 0..10_000 {
        crowded = crowded.append_header((format!("x-{index}"), "x"));
    }
    assert_eq!(status(crowded).await, 200);
    let field = "session=a; ".repeat(10_000) + "session=b";
    assert_eq!(
        status(TestRequest::with_uri("/cookie").insert_header(("cookie", field))).await,
        400
    );
}

#[actix_web::test]
async fn a_function_may_look_at_the_extensions_of_the_request() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let layer = RevocationLayer::new(fixture.guard.clone()).from_fn(|request: &HttpRequest| {
        request.extensions_mut().insert(7_u8);
        request.uri().query().map(Into::into)
    });
    let app = App::new().route("/me", web::get().to(user).wrap(layer));
    let app = init_service(app).await;
    let path = format!("/me?{}", alice.token());
    let response = try_call_service(&app, request(&path, None).to_request())
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
}

#[actix_web::test]
async fn an_optional_user_is_no_error_and_an_error_is_no_optional_user() {
    async fn swallowed(user: Option<AuthUser>) -> &'static str {
        if user.is_some() { "user" } else { "nobody" }
    }
    async fn honest(MaybeAuthUser(user): MaybeAuthUser) -> &'static str {
        if user.is_some() { "user" } else { "nobody" }
    }
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let app = App::new()
        .route("/swallowed", web::get().to(swallowed))
        .route("/honest", web::get().to(honest));
    let app = init_service(app).await;
    // No layer is there, which is our mistake. That is why there is `MaybeAuthUser`.
    assert_eq!(statuses!(&app, &alice, "/swallowed"), [200, 200]);
    assert_eq!(statuses!(&app, &alice, "/honest"), [500, 500]);
}

/// A server whose handlers hold a witness.
fn witnessed(fixture: &Fixture) -> (Server, Weak<()>) {
    let witness = Arc::new(());
    let held = Arc::downgrade(&witness);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let guard = fixture.guard.clone();
    let configure = move |config: &mut ServiceConfig| {
        config
            .service(routes_with(&witness).wrap(RevocationLayer::new(guard.clone())))
            .route("/alive", web::get().to(|| async { "alive" }));
    };
    let stop = Box::new(ActixServer::start(listener, configure));
    (
        Server::new(fixture.clone(), Running { address, stop }),
        held,
    )
}

fn routes_with(witness: &Arc<()>) -> actix_web::Scope {
    let holding = |witness: &Arc<()>| Arc::clone(witness);
    let panics = holding(witness);
    let endless = holding(witness);
    let reads = holding(witness);
    web::scope("/held")
        .route(
            "/panics",
            web::get().to(move |_: AuthUser| {
                let _held = Arc::clone(&panics);
                async { panic!("told to panic") as HttpResponse }
            }),
        )
        .route(
            "/endless",
            web::get().to(move |user: AuthUser| {
                let held = (Arc::clone(&endless), user);
                async move {
                    let body = stream::repeat_with(move || {
                        let _held = &held;
                        Ok::<_, Error>(Bytes::from_static(&[b'x'; 1024]))
                    });
                    HttpResponse::Ok().streaming(body)
                }
            }),
        )
        .route(
            "/reads",
            web::post().to(move |user: AuthUser, mut body: web::Payload| {
                let _held = (Arc::clone(&reads), user);
                async move {
                    let _held = _held;
                    while let Some(Ok(_)) = body.next().await {}
                    "read"
                }
            }),
        )
}

/// Returns once nothing but the server's own factory and workers holds a witness.
async fn until_released(held: &Weak<()>, at_rest: usize) {
    while held.strong_count() != at_rest {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn panics_hang_ups_and_endless_bodies_leak_nothing() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let (server, held) = witnessed(&fixture);
    // Every worker has made its app by the time that it answers; both are asked until the count rests.
    Server::assert_ok(&server.get_bare("/alive").await, "alive");
    let mut at_rest = 0;
    while at_rest != held.strong_count() {
        at_rest = held.strong_count();
        for _ in 0..20 {
            Server::assert_ok(&server.get_bare("/alive").await, "alive");
        }
    }
    let handles = fixture.store.handles();

    for _ in 0..20 {
        let panics = RawRequest::get("/held/panics").bearer(alice.token());
        assert!(!panics.is_answered(server.address).await);

        let endless = RawRequest::get("/held/endless").bearer(alice.token());
        let mut connection = endless.begin(server.address).await;
        connection.read_until("xxxx").await;
        drop(connection);

        let endless_body = RawRequest::new("POST", "/held/reads")
            .bearer(alice.token())
            .header("transfer-encoding", "chunked");
        let mut connection = endless_body.begin(server.address).await;
        connection.write_chunk(b"more").await;
        drop(connection);
    }
    until_released(&held, at_rest).await;
    fixture.store.until_handles(handles).await;
    Server::assert_ok(&server.get_bare("/alive").await, "alive");
    server.assert_that_no_token_leaked();
}

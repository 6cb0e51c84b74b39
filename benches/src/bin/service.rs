//! A service over loopback sockets, loaded by `wrk`: a route behind the layer, the same route bare, and the same
//! route as it is commonly protected by hand: `jsonwebtoken` and one `EXISTS` a request.
//!
//! ```sh
//! cargo run --release -p jwt-revoke-benches --bin service              # axum and actix, ES256 and HS256
//! cargo run --release -p jwt-revoke-benches --bin service -- axum      # or: actix
//! ```
//!
//! The service is this program once more, with one thread for requests and then with two, as many as `wrk` has;
//! requests bear one of 1,000 tokens in turns, on all routes. The routes are loaded in turns too, and ratios are
//! taken within a turn. What the service takes of a core for a request depends less on what else the machine
//! does. Needs `wrk`
//! (Debian: `apt-get install wrk`).

use std::{
    fmt::Write as _, fs, net::TcpListener, path::Path, process::Command, sync::Arc, time::Duration,
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, middleware, rt::System, web};
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    middleware::Next,
    response::Response,
    routing::get,
};
use fred::{
    prelude::{Builder, Client, ClientLike as _, Config},
    types::{ClusterHash, CustomCommand},
};
use jsonwebtoken::{DecodingKey, Validation};
use jwt_revoke_benches::{
    AUDIENCE, Claims, ISSUER, keys, measure::Other, median, until_ready, validation,
};
use jwt_revoke_core::{Guard, Issuer, session::Grant, store::RedisStore, verify::Algorithm};
use jwt_revoke_tests::redis_server::RedisServer;
use tokio::runtime::Builder as RuntimeBuilder;

const TOKENS: usize = 1_000;
const ROUNDS: usize = 5;
const ROUND: &str = "2s";
const ROUTES: [&str; 3] = ["/bare", "/guarded", "/exists"];

fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["serve", framework, algorithm, threads, url, folder] => {
            let threads = threads.parse().expect("a number of threads");
            let algorithm = algorithm_of(algorithm);
            serve(framework, algorithm, threads, url, Path::new(folder));
        }
        [] => measure(&["axum", "actix"]),
        ["axum"] => measure(&["axum"]),
        ["actix"] => measure(&["actix"]),
        _ => {
            eprintln!("usage: service [axum|actix]");
            std::process::exit(2);
        }
    }
}

fn algorithm_of(name: &str) -> Algorithm {
    let mut all = Algorithm::ALL.into_iter();
    all.find(|algorithm| algorithm.to_string() == name)
        .expect("an algorithm")
}

fn measure(frameworks: &[&str]) {
    if Command::new("wrk").arg("-v").output().is_err() {
        eprintln!("wrk is missing: it makes the requests (Debian: apt-get install wrk)");
        std::process::exit(2);
    }
    println!("requests a second, medians of {ROUNDS} turns of {ROUND}, {TOKENS} tokens;");
    println!("for each thread of the service one of wrk with 32 connections");
    println!("(guarded / bare at least 0.95 wanted, guarded / exists at least 2)");
    for framework in frameworks {
        for (algorithm, threads) in [("ES256", 1), ("HS256", 1), ("ES256", 2), ("HS256", 2)] {
            let server = RedisServer::start();
            let folder = tempfile::tempdir().expect("a temporary folder");
            let path = folder.path().display().to_string();
            let number = threads.to_string();
            let url = server.url();
            let mut service = Other::start(&["serve", framework, algorithm, &number, &url, &path]);
            let address = service.line();
            let turn = |_| {
                ROUTES.map(|route| {
                    let before = service.cpu_seconds();
                    let url = format!("http://{address}{route}");
                    let (rate, requests) = load(&url, threads, folder.path());
                    let each_us = (service.cpu_seconds() - before) * 1e6 / requests;
                    (rate, each_us)
                })
            };
            // Once for the caches and the branches.
            turn(0);
            let turns: Vec<_> = (0..ROUNDS).map(turn).collect();
            let of = |key: fn(&Turn) -> f64| median(turns.iter().map(key));
            println!(
                "{framework:<6} {algorithm} {threads}   bare {:>6.0}   guarded {:>6.0}   exists {:>6.0}   guarded/bare {:.2}   guarded/exists {:.1}",
                of(|turn| turn[0].0),
                of(|turn| turn[1].0),
                of(|turn| turn[2].0),
                of(|turn| turn[1].0 / turn[0].0),
                of(|turn| turn[1].0 / turn[2].0),
            );
            println!(
                "     us on a core   bare {:>6.1}   guarded {:>6.1}   exists {:>6.1}   bare/guarded {:.2}   exists/guarded {:.1}",
                of(|turn| turn[0].1),
                of(|turn| turn[1].1),
                of(|turn| turn[2].1),
                of(|turn| turn[0].1 / turn[1].1),
                of(|turn| turn[2].1 / turn[1].1),
            );
        }
    }
}

/// Of each route, requests a second, and microseconds of the service on a core for each.
type Turn = [(f64, f64); 3];

/// Requests a second, and how many there were.
fn load(url: &str, threads: u32, folder: &Path) -> (f64, f64) {
    let script = folder.join("tokens.lua");
    let run = Command::new("wrk")
        .arg(format!("-t{threads}"))
        .arg(format!("-c{}", 32 * threads))
        .args(["-d", ROUND, "-s"])
        .arg(script)
        .arg(url)
        .output();
    let run = run.expect("wrk runs");
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(!text.contains("Non-2xx"), "requests were refused:\n{text}");
    let number = |line: &str| line.trim().parse().ok();
    let rate = text
        .lines()
        .find_map(|line| number(line.strip_prefix("Requests/sec:")?));
    let requests = text
        .lines()
        .find_map(|line| number(line.split_once(" requests in ")?.0));
    rate.zip(requests).expect("wrk tells the rate")
}

/// The script by which `wrk` sends the tokens in turns.
fn script(tokens: &[String]) -> String {
    let mut text = "local tokens = {\n".to_owned();
    for token in tokens {
        writeln!(text, "  \"{token}\",").expect("a string takes it");
    }
    text + "}
local requests, turn = {}, 0
function init()
  for i, token in ipairs(tokens) do
    requests[i] = wrk.format('GET', nil, { Host = wrk.host, Authorization = 'Bearer ' .. token })
  end
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
"
}

/// The service: makes the tokens, writes the script, and says where it listens.
fn serve(framework: &str, algorithm: Algorithm, threads: usize, url: &str, folder: &Path) {
    // The store and the client have a thread for their connections; those for requests are beside it.
    let background = RuntimeBuilder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let (guard, byhand) = background.block_on(async {
        let (key, decoding) = keys(algorithm);
        let issuer = Issuer::new(key, ISSUER, AUDIENCE);
        // Tokens are made on a machine that may be busy; the checks ask nobody.
        let builder = RedisStore::builder(url)
            .with_healing(Duration::ZERO)
            .with_check_timeout(Duration::from_secs(10));
        let guard = Guard::new(
            issuer.verifier(),
            builder.connect().await.expect("the server is there"),
        );
        until_ready(&guard).await;
        let mut tokens = Vec::new();
        for n in 0..TOKENS {
            let issued = issuer
                .issue(&guard, format!("user-{n}"), &Grant::new())
                .await;
            tokens.push(issued.expect("a token").token().to_owned());
        }
        fs::write(folder.join("tokens.lua"), script(&tokens)).expect("the script is written");
        (guard, decoding)
    });
    let validation = validation(algorithm);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it listens");
    let by_hand = move || ByHand::connect(url.to_owned(), byhand.clone(), validation.clone());
    match framework {
        "axum" => serve_axum(listener, threads, guard, by_hand, &address.to_string()),
        _ => serve_actix(listener, threads, guard, by_hand, &address.to_string()),
    }
}

/// What people write: a check of the signature, and a question to Redis.
#[derive(Clone)]
struct ByHand(Arc<(DecodingKey, Validation, Client)>);

impl ByHand {
    /// On the runtime that serves the requests.
    async fn connect(url: String, key: DecodingKey, validation: Validation) -> Self {
        let config = Config::from_url(&url).expect("an address");
        let client = Builder::from_config(config).build().expect("a client");
        client.init().await.expect("the server is there");
        Self(Arc::new((key, validation, client)))
    }

    async fn admits(&self, authorization: Option<&[u8]>) -> bool {
        let (key, validation, client) = &*self.0;
        let text = authorization.and_then(|text| str::from_utf8(text).ok());
        let Some(token) = text.and_then(|text| text.strip_prefix("Bearer ")) else {
            return false;
        };
        let Ok(data) = jsonwebtoken::decode::<Claims>(token, key, validation) else {
            return false;
        };
        let exists = CustomCommand::new_static("EXISTS", ClusterHash::FirstKey, false);
        let keys = vec![format!("blacklist:{}", data.claims.jti)];
        let revoked: i64 = client.custom(exists, keys).await.unwrap_or(1);
        revoked == 0
    }
}

fn serve_axum<F: Future<Output = ByHand>>(
    listener: TcpListener,
    threads: usize,
    guard: Guard,
    by_hand: impl Fn() -> F,
    address: &str,
) {
    async fn check(
        State(by_hand): State<ByHand>,
        headers: HeaderMap,
        request: Request,
        next: Next,
    ) -> Result<Response, StatusCode> {
        let authorization = headers.get("authorization").map(|value| value.as_bytes());
        if by_hand.admits(authorization).await {
            Ok(next.run(request).await)
        } else {
            Err(StatusCode::UNAUTHORIZED)
        }
    }
    let mut builder = match threads {
        1 => RuntimeBuilder::new_current_thread(),
        _ => RuntimeBuilder::new_multi_thread(),
    };
    let runtime = builder
        .worker_threads(threads)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async {
        let ok = || get(async || "ok");
        let layer = tower_jwt_revoke::RevocationLayer::new(guard);
        let exists = axum::middleware::from_fn_with_state(by_hand().await, check);
        let app = Router::new()
            .route("/bare", ok())
            .route("/guarded", ok().route_layer(layer))
            .route("/exists", ok().route_layer(exists));
        listener.set_nonblocking(true).expect("it is a socket");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        println!("{address}");
        axum::serve(listener, app).await.expect("it serves");
    });
}

fn serve_actix<F: Future<Output = ByHand> + 'static>(
    listener: TcpListener,
    threads: usize,
    guard: Guard,
    by_hand: impl Fn() -> F,
    address: &str,
) {
    async fn check(
        by_hand: web::Data<ByHand>,
        request: actix_web::dev::ServiceRequest,
        next: middleware::Next<actix_web::body::BoxBody>,
    ) -> Result<actix_web::dev::ServiceResponse, actix_web::Error> {
        let authorization = request.headers().get("authorization");
        if by_hand
            .admits(authorization.map(|value| value.as_bytes()))
            .await
        {
            next.call(request).await
        } else {
            Ok(request.into_response(HttpResponse::Unauthorized()))
        }
    }
    System::new().block_on(async {
        let by_hand = web::Data::new(by_hand().await);
        let app = move || {
            let ok = || web::get().to(async |_: HttpRequest| "ok");
            let layer = actix_jwt_revoke::RevocationLayer::new(guard.clone());
            App::new()
                .app_data(by_hand.clone())
                .service(web::resource("/bare").route(ok()))
                .service(web::resource("/guarded").route(ok().wrap(layer)))
                .service(web::resource("/exists").route(ok().wrap(middleware::from_fn(check))))
        };
        let server = HttpServer::new(app)
            .workers(threads)
            .listen(listener)
            .expect("a listener");
        println!("{address}");
        server.run().await.expect("it serves");
    });
}

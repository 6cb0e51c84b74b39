//! Calls one method of the service with a token: `client ADDRESS me|echo|audit TOKEN`. What it echoes
//! are the lines of its input.

use std::{env, error::Error, io, process::ExitCode};

use example_tonic::proto::{AuditRequest, EchoMessage, MeRequest, account_client::AccountClient};
use futures::stream;
use tonic::{Request, Status, metadata::MetadataValue, transport::Endpoint};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match error.downcast_ref::<Status>() {
                Some(status) => eprintln!("{:?}: {}", status.code(), status.message()),
                None => eprintln!("{error}"),
            }
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [address, method, token] = arguments.as_slice() else {
        return Err("client ADDRESS me|echo|audit TOKEN".into());
    };
    let channel = Endpoint::from_shared(address.clone())?.connect().await?;
    let bearer: MetadataValue<_> = format!("Bearer {token}").parse()?;
    let mut client = AccountClient::with_interceptor(channel, move |mut request: Request<()>| {
        let metadata = request.metadata_mut();
        metadata.insert("authorization", bearer.clone());
        Ok(request)
    });
    match method.as_str() {
        "me" => println!("{:?}", client.me(MeRequest {}).await?.into_inner()),
        "audit" => println!("{:?}", client.audit(AuditRequest {}).await?.into_inner()),
        "echo" => {
            let lines = io::stdin().lines().collect::<Result<Vec<_>, _>>()?;
            let messages = stream::iter(lines.into_iter().map(|text| EchoMessage { text }));
            let mut echo = client.echo(messages).await?.into_inner();
            while let Some(EchoMessage { text }) = echo.message().await? {
                println!("{text}");
            }
        }
        other => return Err(format!("{other:?} is neither me, echo nor audit").into()),
    }
    Ok(())
}

// Drives the OAuth routes with oauth4webapi, as an application would, and fails if it is not content.
//
// Reads JSON from stdin: the issuer, a public client, a confidential client with its secret, refresh tokens of each.

import assert from 'node:assert/strict'
import { webcrypto } from 'node:crypto'
import { text } from 'node:stream/consumers'

globalThis.crypto ??= webcrypto // Node 18

const oauth = await import('oauth4webapi')

const given = JSON.parse(await text(process.stdin))
// The server is on the loopback interface, without TLS.
const options = () => ({
  [oauth.allowInsecureRequests]: true,
  signal: AbortSignal.timeout(20_000),
})

const issuer = new URL(given.issuer)
const discovery = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...options() })
// The library compares with the URL's own spelling, which ends in a slash that our name lacks.
const server = await oauth.processDiscoveryResponse(issuer, discovery)

async function refresh(client, authentication, token, parameters = {}) {
  const response = await oauth.refreshTokenGrantRequest(server, client, authentication, token, {
    additionalParameters: parameters,
    ...options(),
  })
  return oauth.processRefreshTokenResponse(server, client, response)
}

async function introspect(token) {
  const client = { client_id: given.confidential }
  const authentication = oauth.ClientSecretBasic(given.secret)
  const response = await oauth.introspectionRequest(server, client, authentication, token, options())
  return oauth.processIntrospectionResponse(server, client, response)
}

async function revoke(client, authentication, token, hint) {
  const response = await oauth.revocationRequest(server, client, authentication, token, {
    additionalParameters: hint ? { token_type_hint: hint } : {},
    ...options(),
  })
  return oauth.processRevocationResponse(response)
}

// The library's own verification of access tokens (RFC 9068), with the published keys.
async function verify(token) {
  const request = new Request(given.issuer, { headers: { authorization: `Bearer ${token}` } })
  return oauth.validateJwtAccessToken(server, request, 'api', options())
}

function refusal(error, status) {
  return (thrown) =>
    thrown instanceof oauth.ResponseBodyError && thrown.error === error && thrown.status === status
}

async function drive(client, authentication, first) {
  const second = await refresh(client, authentication, first)
  assert.equal(second.token_type, 'bearer')
  assert.equal(typeof second.expires_in, 'number')
  assert.equal(second.scope, 'read write')
  assert.notEqual(second.refresh_token, first)
  const claims = await verify(second.access_token)
  assert.equal(claims.client_id, client.client_id)

  const third = await refresh(client, authentication, second.refresh_token, { scope: 'read' })
  assert.equal(third.scope, 'read')
  const latest = third.refresh_token
  await assert.rejects(
    refresh(client, authentication, latest, { scope: 'admin' }),
    refusal('invalid_scope', 400),
  )
  await assert.rejects(verify(latest))

  assert.equal((await introspect(third.access_token)).active, true)
  assert.equal((await introspect(latest)).active, true)
  assert.deepEqual(await introspect(first), { active: false })

  await revoke(client, authentication, latest, 'refresh_token')
  await revoke(client, authentication, latest)
  await revoke(client, authentication, 'unknown')
  for (const token of [second.access_token, third.access_token, latest]) {
    assert.deepEqual(await introspect(token), { active: false })
  }
  await assert.rejects(refresh(client, authentication, latest), refusal('invalid_grant', 400))
}

await drive({ client_id: given.public }, oauth.None(), given.public_tokens[0])
const confidential = { client_id: given.confidential }
await drive(confidential, oauth.ClientSecretBasic(given.secret), given.confidential_tokens[0])
await drive(confidential, oauth.ClientSecretPost(given.secret), given.confidential_tokens[1])
await assert.rejects(
  refresh(confidential, oauth.ClientSecretPost('wrong'), 'x'),
  refusal('invalid_client', 400),
)
// With a header, the answer is a challenge, and the library reports it as one.
await assert.rejects(
  refresh(confidential, oauth.ClientSecretBasic('wrong'), 'x'),
  (thrown) => thrown instanceof oauth.WWWAuthenticateChallengeError && thrown.status === 401,
)
console.log('content')

// A real OpenID provider for the journeys, Node.js 20.12 or newer: node op.mjs NAME [REDIRECT_URI ...]
//
// Listens on a free port of the loopback (or PORT), prints `ready ISSUER`, and ends when its standard input closes, so
// that it cannot outlive the test that started it. Two processes are two issuers.
//
//   POST /_test/redirects ["URI", ...]   replaces the redirect URIs of both clients
//   POST /_test/account   {"login": "first", "claims": {...}}   adds an account, or changes claims of one
//   POST /_test/rotate?keep=1|0          new signing keys; the old ones stay published, or are dropped
//   POST /_test/fault     {"path": "/token", "status": 503, "delay_ms": 0, "drop": false, "body": "", "times": 1}
import http from 'node:http';
import crypto from 'node:crypto';
URL.parse ??= (url, base) => { try { return new URL(url, base); } catch { return null; } }; // missing before node 22
const { Provider, interactionPolicy } = await import('oidc-provider');

const [name, ...redirects] = process.argv.slice(2);
const accounts = {
  personal: {
    first: { email: 'first@mail.test', name: 'First Person' },
    second: { email: 'second@mail.test', name: 'Second Person' },
  },
  work: {
    third: { email: 'third@mail.test', name: 'Third Person', roles: ['support'] },
    fourth: { email: 'fourth@mail.test', name: 'Fourth Person' },
  },
}[name];
if (name === 'work') { // as Entra ID: the subject is not what names a person, tenant and object are
  for (const login of Object.keys(accounts)) {
    accounts[login].tid = '7e57c0de-0000-4000-8000-000000000001';
    accounts[login].oid = `7e57c0de-0000-4000-8000-${Buffer.from(login).toString('hex').padStart(12, '0')}`;
  }
}

const key = (type, options, alg) => ({
  ...crypto.generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }),
  alg, use: 'sig', kid: `${name}-${alg}-${crypto.randomUUID().slice(0, 8)}`,
});
const newKeys = () => [key('rsa', { modulusLength: 2048 }, 'RS256'), key('ec', { namedCurve: 'P-256' }, 'ES256')];

const stored = new Map(); // outlives a provider, so that a rotation keeps sessions and codes
class Adapter {
  constructor(model) { this.model = model; }
  key(id) { return `${this.model}:${id}`; }
  async upsert(id, payload, seconds) {
    stored.set(this.key(id), { ...payload, ...(seconds && { deadAfter: Date.now() + seconds * 1000 }) });
  }
  async find(id) {
    const found = stored.get(this.key(id));
    if (found?.deadAfter < Date.now()) { stored.delete(this.key(id)); return undefined; }
    return found;
  }
  async findByUid(uid) {
    for (const [id, found] of stored) if (id.startsWith('Session:') && found.uid === uid) return found;
    return undefined;
  }
  async consume(id) { stored.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }
  async destroy(id) { stored.delete(this.key(id)); }
  async revokeByGrantId(grant) { // tokens and codes of it; the sign-in under way names it too and stays
    for (const [id, found] of stored) if (found.grantId === grant && /(Token|Code):/.test(id)) stored.delete(id);
  }
}

// Nobody is asked for consent: both clients belong to the house.
async function loadExistingGrant(ctx) {
  const { client, session, resourceServers, provider } = ctx.oidc;
  const known = session.grantIdFor(client.clientId);
  let grant = known && await provider.Grant.find(known);
  if (!grant || grant.accountId !== session.accountId) {
    grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  }
  grant.addOIDCScope('openid email profile offline_access');
  for (const resource of Object.keys(resourceServers ?? {})) grant.addResourceScope(resource, 'portal');
  await grant.save();
  return grant;
}

const policy = interactionPolicy.base();
policy.add(new interactionPolicy.Prompt({ name: 'select_account', requestable: true }), 0);

const client = (client_id, redirect_uris, extra) => ({
  client_id, redirect_uris, response_types: ['code'], grant_types: ['authorization_code', 'refresh_token'], ...extra,
});
const PORTAL_CALLBACK = 'http://127.0.0.1:9/portal'; // nobody listens there: the caller reads the code off the address
const configuration = () => ({
  adapter: Adapter,
  jwks: { keys },
  clients: [
    client('vinculum', redirects.length ? redirects : ['http://127.0.0.1:9/callback'], {
      client_secret: 'a-client-secret-of-the-tests-only', token_endpoint_auth_method: 'client_secret_basic',
    }),
    client('portal', [PORTAL_CALLBACK], { token_endpoint_auth_method: 'none' }),
  ],
  cookies: { keys: ['of-the-tests-only'] },
  claims: { openid: ['sub', 'tid', 'oid', 'roles'], email: ['email', 'email_verified'], profile: ['name'] },
  conformIdTokenClaims: false, // e-mail and name stand in the ID token too, as with the large providers
  findAccount: async (ctx, id) => accounts[id] && {
    accountId: id, claims: async () => ({ sub: id, email_verified: true, ...accounts[id] }),
  },
  extraTokenClaims: async (ctx, token) => {
    const { tid, oid, roles } = accounts[token.accountId] ?? {};
    return { tid, oid, roles };
  },
  loadExistingGrant,
  interactions: { policy, url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  pkce: { required: () => true },
  ttl: {
    AccessToken: 300, AuthorizationCode: 60, IdToken: 300, Session: 3600, Grant: 3600, Interaction: 600, RefreshToken: 3600,
  },
  features: {
    devInteractions: { enabled: false },
    rpInitiatedLogout: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      useGrantedResource: () => true,
      getResourceServerInfo: (ctx, resource) => ({
        scope: 'portal', audience: resource, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
});

let issuer, keys = newKeys(), provider, handle;
const faults = [];
function build() {
  provider = new Provider(issuer, configuration());
  provider.on('server_error', (ctx, error) => console.error(error));
  handle = provider.callback();
}

async function bodyOf(req) {
  let body = '';
  for await (const chunk of req) body += chunk;
  return body;
}

async function steer(req, res, url) {
  const body = await bodyOf(req);
  if (url.pathname === '/_test/redirects') { redirects.splice(0, Infinity, ...JSON.parse(body)); build(); }
  if (url.pathname === '/_test/account') {
    const { login, claims } = JSON.parse(body);
    accounts[login] = { ...accounts[login], ...claims };
  }
  if (url.pathname === '/_test/rotate') {
    keys = [...newKeys(), ...(url.searchParams.get('keep') === '0' ? [] : keys)];
    build();
  }
  if (url.pathname === '/_test/fault') faults.push({ times: 1, ...JSON.parse(body) });
  res.setHeader('content-type', 'application/json');
  res.end(JSON.stringify({ kids: keys.map((each) => each.kid), faults }));
}

// The account chooser: one button for each account, and one that cancels.
async function interact(req, res) {
  const details = await provider.interactionDetails(req, res);
  if (req.method === 'POST') {
    const login = new URLSearchParams(await bodyOf(req)).get('login');
    const result = login === 'cancel' || !accounts[login]
      ? { error: 'access_denied', error_description: 'the person cancelled' }
      : { login: { accountId: login }, select_account: {} };
    return provider.interactionFinished(req, res, result, { mergeWithLastSubmission: false });
  }
  const buttons = Object.entries(accounts)
    .map(([login, { name: shown }]) => `<p><button id="${login}" name="login" value="${login}">${shown ?? login}</button></p>`);
  res.setHeader('content-type', 'text/html; charset=utf-8');
  return res.end(`<!doctype html><html lang="en"><title>Sign in</title><h1>Choose a ${name} account</h1>
<form method="post" action="/interaction/${details.uid}">${buttons.join('\n')}
<p><button id="cancel" name="login" value="cancel">Cancel</button></p></form></html>`);
}

const server = http.createServer(async (req, res) => {
  try {
    const url = new URL(req.url, issuer);
    if (url.pathname.startsWith('/_test/')) return await steer(req, res, url);
    const fault = faults.find((each) => each.path === url.pathname && each.times > 0);
    if (fault) {
      fault.times -= 1;
      if (fault.delay_ms) await new Promise((resolve) => { setTimeout(resolve, fault.delay_ms); });
      if (fault.drop) return req.socket.destroy();
      if (fault.status) { res.statusCode = fault.status; return res.end(fault.body ?? ''); }
    }
    if (url.pathname.startsWith('/interaction/')) return await interact(req, res);
    return await handle(req, res);
  } catch (error) {
    console.error(error);
    res.statusCode = 500;
    return res.end(String(error));
  }
});
server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  build();
  console.log(`ready ${issuer}`);
});
process.stdin.on('end', () => process.exit(0)).resume();

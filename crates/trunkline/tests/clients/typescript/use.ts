// Uses every kind of operation of a node through the client that openapi-typescript made of openapi.json.

import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";
import createClient from "openapi-fetch";
import type { components, paths } from "./trunkline.js";

type Status = components["schemas"]["Status"];

const [url, key] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${key}` } });
const waitMaxMs = 60_000;
const here = "+12016660001";
const there = "+18045550001";
const shop = "shop@example.net";
const customer = "customer@example.net";
const menu = "https://example.com/menu.png";

/** The body of an answer that must be no problem. */
async function done<T>(answer: Promise<{ data?: T; error?: unknown }>): Promise<T> {
  const { data, error } = await answer;
  assert(data !== undefined, JSON.stringify(error));
  return data;
}

function read(id: string) {
  return done(client.GET("/api/messages/{id}", { params: { path: { id } } }));
}

/** The message, once it has this status. */
async function waitFor(id: string, status: Status) {
  const until = Date.now() + waitMaxMs;
  let message = await read(id);
  for (; message.status !== status; message = await read(id)) {
    assert(Date.now() < until, `waited for ${status}: ${JSON.stringify(message)}`);
    await setTimeout(20);
  }
  return message;
}

async function simulate(error_pct: number) {
  const body = { timeout_pct: 0, error_pct, ratelimit_pct: 0 };
  assert.equal((await done(client.PUT("/api/provider/mock/config", { body }))).error_pct, error_pct);
}

await simulate(0);

// Send
const sms = {
  params: { header: { "Idempotency-Key": "order-18" } },
  body: { from: here, to: there, type: "sms", body: "Hello!" },
} as const;
const text = await done(client.POST("/api/messages/sms", sms));
assert.equal((await done(client.POST("/api/messages/sms", sms))).id, text.id);
const picture = await done(
  client.POST("/api/messages/sms", { body: { from: here, to: there, type: "mms", body: "The menu", attachments: [menu] } }),
);
await done(
  client.POST("/api/messages", { body: { channel: "mms", from: here, to: there, body: "Again", attachments: [menu] } }),
);
const mail = await done(
  client.POST("/api/messages/email", { body: { from: shop, to: customer, subject: "Your order", body: "<p>Sent</p>" } }),
);
const refused = await client.POST("/api/messages/sms", { body: { from: "", to: there, type: "sms", body: "Hello!" } });
assert.equal(refused.error?.errors?.[0]?.pointer, "/from");

// Receive
const reply = { from: there, to: here, type: "sms", messaging_provider_id: "reply-3", body: "Who is this?" } as const;
const answered = await done(client.POST("/api/webhooks/sms", { body: reply }));
assert.equal(answered.conversation_id, text.conversation_id);
assert.equal((await done(client.POST("/api/webhooks/sms", { body: reply }))).id, answered.id);
const thanks = { from: customer, to: shop, xillio_id: "reply-4", subject: "Re: Your order", body: "<p>Thanks</p>" };
const thanked = await done(client.POST("/api/webhooks/email", { body: thanks }));
assert.equal(thanked.conversation_id, mail.conversation_id);
await done(client.POST("/api/provider/mock/inbound", { body: { channel: "sms", from: there, to: here, body: "Hello?" } }));

// Read
const dispatched = await waitFor(text.id, "dispatched");
assert.deepEqual([dispatched.from, dispatched.to, dispatched.body], [here, there, "Hello!"]);
assert.deepEqual(dispatched.attempts.map((attempt) => attempt.attempt_number), [1]);
assert.deepEqual((await waitFor(picture.id, "dispatched")).attachments, [menu]);
const received = await done(client.GET("/api/messages", { params: { query: { status: "received", channel: "sms" } } }));
assert(received.items.some((message) => message.id === answered.id));
const found = await done(client.GET("/api/conversations", { params: { query: { participant: there } } }));
assert.deepEqual(found.items.map((conversation) => conversation.message_count), [5]);
const id = found.items[0].id;
assert.equal((await done(client.GET("/api/conversations/{id}", { params: { path: { id } } }))).message_count, 5);
const page = (query: { pageSize?: number; cursor?: string }) =>
  done(client.GET("/api/conversations/{id}/messages", { params: { path: { id }, query } }));
const first = await page({ pageSize: 2 });
const rest = await page({ cursor: first.meta.next_cursor ?? undefined });
assert.deepEqual([first.items.length, rest.items.length, first.meta.total], [2, 3, 5]);

// Redrive
await simulate(100);
const lost = await done(client.POST("/api/messages/email", { body: { from: shop, to: customer, body: "Lost" } }));
assert.equal((await waitFor(lost.id, "failed")).failure?.reason, "exhausted");
await simulate(0);
const redriven = await done(client.POST("/api/messages/{id}/redrive", { params: { path: { id: lost.id } } }));
assert.equal(redriven.id, lost.id);
assert.equal((await waitFor(lost.id, "dispatched")).attempts.length, 3);
const failed = { reason: "exhausted", failed_before: new Date().toISOString() } as const;
assert.equal((await done(client.POST("/api/messages/redrive", { body: failed }))).redriven, 0);

// Operate
assert.equal((await done(client.GET("/readyz"))).status, "ready");
const providers = await done(client.GET("/api/providers"));
assert.deepEqual(providers.items.map((provider) => provider.name).sort(), ["email", "scripted", "sms-mms"]);
assert.match(await done(client.GET("/metrics", { parseAs: "text" })), /^# HELP trunkline_/m);

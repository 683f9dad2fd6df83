// SPDX-License-Identifier: ISC
/*
 * Belfry's client library: chat rooms and topics over one WebSocket (Chat), topics over
 * Server-Sent Events (Events). No dependencies; browsers and Node 18 or newer.
 *
 * What it promises: whatever was published while the connection was away arrives on resume,
 * once and in order, or a `gap` event says that the server has it no longer; whatever was sent
 * reaches the room once, however often the connection breaks in between.
 *
 * belfry.d.ts describes everything that is exported.
 */

export { BelfryError, BelfryEvent, on, topicMatches, userTopic } from './client/common.js';
export { Chat } from './client/chat.js';
export { Events } from './client/events.js';
export { Subscription } from './client/feeds.js';
export { Room } from './client/room.js';
export { MessageList, applyRecord } from './client/records.js';
export { Drafts } from './client/drafts.js';
export { Outgoing } from './client/outbox.js';
export { StreamParser } from './client/stream.js';

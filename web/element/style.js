// SPDX-License-Identifier: ISC
/* The element's own style: a sheet made by script, which the strictest style-src lets pass. */

const TEXT = `
:host {
	--belfry-paper: #f5f2ec; --belfry-surface: #fff; --belfry-line: #e1dbcf; --belfry-edge: #8a8372; --belfry-ink: #1f2532; --belfry-muted: #5b6272;
	--belfry-accent: #8a5a00; --belfry-mine: #fbefd3; --belfry-mine-line: #ecd6a4; --belfry-primary: #23304a; --belfry-primary-ink: #fff;
	--belfry-good: #1d6b43; --belfry-bad: #a3262a; --avatar-light: 50%;
	display: flex; flex-direction: column; box-sizing: border-box; height: 28rem; min-height: 12rem; overflow: hidden;
	border: 1px solid var(--belfry-line); border-radius: 14px; background: var(--belfry-paper); color: var(--belfry-ink);
	font: 0.9375rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif; text-align: start;
}
@media (prefers-color-scheme: dark) {
	:host {
		--belfry-paper: #12151c; --belfry-surface: #1a1e27; --belfry-line: #2e3441; --belfry-edge: #6a7283; --belfry-ink: #e9e6df; --belfry-muted: #a0a7b5;
		--belfry-accent: #efc06a; --belfry-mine: #382e1a; --belfry-mine-line: #5a4823; --belfry-primary: #efc06a; --belfry-primary-ink: #1f1804;
		--belfry-good: #6fcf9b; --belfry-bad: #ff9a92; --avatar-light: 46%;
	}
}
*, *::before, *::after { box-sizing: border-box; }
:host([hidden]), [hidden] { display: none !important; }
p { margin: 0; }
a { color: inherit; text-decoration-color: var(--belfry-accent); text-underline-offset: 0.2em; }
:focus-visible { outline: 2px solid var(--belfry-accent); outline-offset: -2px; }
button, input, textarea { font: inherit; color: inherit; }
button { cursor: pointer; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.head { display: flex; align-items: baseline; justify-content: space-between; gap: 0.75rem; padding: 0.6rem 0.9rem; border-bottom: 1px solid var(--belfry-line); background: var(--belfry-surface); }
.title { min-width: 0; overflow: hidden; font-weight: 650; text-overflow: ellipsis; white-space: nowrap; }
.state { flex: none; color: var(--belfry-muted); font-size: 0.8125rem; }
.state[data-state="open"] { color: var(--belfry-good); }
.state[data-state="away"] { color: var(--belfry-accent); }
.log { flex: 1; display: flex; flex-direction: column; min-height: 0; padding: 0.25rem 0.9rem 0.5rem; overflow: hidden auto; overflow-anchor: none; overscroll-behavior: contain; }
.log::before { content: ""; margin-top: auto; }
.earlier, .empty { padding: 0.6rem; text-align: center; color: var(--belfry-muted); }
.message { display: grid; grid-template-columns: 2rem minmax(0, 1fr); column-gap: 0.6rem; padding-top: 0.8rem; }
.message.grouped { padding-top: 0.2rem; }
.avatar { display: inline-grid; place-items: center; width: 2rem; height: 2rem; border-radius: 50%; background: oklch(var(--avatar-light) 0.095 var(--hue)); color: #fff; font-size: 0.8125rem; font-weight: 650; line-height: 1; }
.grouped .avatar { visibility: hidden; height: 0; }
.day, .gap, .new { display: flex; align-items: center; gap: 0.75rem; color: var(--belfry-muted); font-size: 0.8125rem; }
.day { grid-column: 1 / -1; margin: 0.3rem 0 0.6rem; }
.gap, .new { margin-top: 0.8rem; color: var(--belfry-accent); }
.day::before, .day::after, .gap::before, .gap::after, .new::before, .new::after { content: ""; flex: 1; min-width: 0.75rem; border-top: 1px solid var(--belfry-line); }
.bubble { justify-self: start; max-width: 100%; }
.byline { display: flex; align-items: baseline; gap: 0.5rem; font-size: 0.8125rem; }
.author { font-weight: 650; overflow-wrap: anywhere; }
.byline time { color: var(--belfry-muted); font-size: 0.75rem; font-variant-numeric: tabular-nums; }
.grouped .byline, .mine .author { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.text { width: fit-content; max-width: 100%; padding: 0.4rem 0.75rem; border: 1px solid var(--belfry-line); border-radius: 12px; background: var(--belfry-surface); overflow-wrap: anywhere; white-space: pre-wrap; }
.mine { grid-template-columns: minmax(0, 1fr); }
.mine .avatar { display: none; }
.mine .bubble { display: grid; justify-items: end; justify-self: end; max-width: 92%; }
.mine .text { border-color: var(--belfry-mine-line); background: var(--belfry-mine); }
.quote { display: block; max-width: 100%; padding: 0.1rem 0.6rem; overflow: hidden; border: 0; border-inline-start: 3px solid var(--belfry-mine-line); background: none; color: var(--belfry-muted); font-size: 0.8125rem; text-align: start; text-overflow: ellipsis; white-space: nowrap; }
.reactions { display: flex; flex-wrap: wrap; gap: 0.25rem; margin-top: 0.2rem; }
.reaction { padding: 0 0.5rem; border: 1px solid var(--belfry-line); border-radius: 999px; background: var(--belfry-surface); font-size: 0.8125rem; }
.reaction[aria-pressed="true"] { border-color: var(--belfry-accent); }
.deleted .text, .edited { color: var(--belfry-muted); font-style: italic; }
.mention { font-weight: 600; }
.mark { color: var(--belfry-muted); font-size: 0.75rem; }
.message[data-state="pending"] .text { border-style: dashed; }
.message[data-state="failed"] .mark { color: var(--belfry-bad); }
.message[data-state="sent"] .mark { display: none; }
.below { display: flex; position: relative; align-items: center; min-height: 1.5rem; padding: 0 0.9rem; }
.typing { color: var(--belfry-muted); font-size: 0.8125rem; font-style: italic; }
.newer { position: absolute; inset-inline-end: 0.9rem; bottom: 0.4rem; }
.quiet { min-height: 1.75rem; padding: 0.1rem 0.75rem; border: 1px solid var(--belfry-line); border-radius: 999px; background: var(--belfry-surface); font-size: 0.8125rem; }
form { display: flex; align-items: flex-end; gap: 0.5rem; padding: 0 0.9rem 0.9rem; }
.entry { flex-wrap: wrap; align-items: end; margin: auto; padding: 1rem; }
.entry label { flex-basis: 100%; color: var(--belfry-muted); font-size: 0.8125rem; font-weight: 600; }
input, textarea { flex: 1; min-width: 8rem; min-height: 2.5rem; max-height: 7rem; padding: 0.45rem 0.75rem; border: 1px solid var(--belfry-edge); border-radius: 10px; background: var(--belfry-surface); resize: none; }
textarea::placeholder { color: var(--belfry-muted); opacity: 1; }
.primary { min-height: 2.5rem; padding: 0.4rem 1rem; border: 0; border-radius: 10px; background: var(--belfry-primary); color: var(--belfry-primary-ink); font-weight: 600; }
.problem { margin: 0.75rem 0.9rem; padding: 0.5rem 0.75rem; border: 1px solid currentcolor; border-radius: 10px; color: var(--belfry-bad); font-size: 0.875rem; overflow-wrap: anywhere; }
@media (forced-colors: active) { .text, .avatar { border: 1px solid; } }
`;

/** @type {CSSStyleSheet | undefined} */
let sheet;

/** One sheet for all elements of the document. */
export function style() {
	if (sheet === undefined) {
		sheet = new CSSStyleSheet();
		sheet.replaceSync(TEXT);
	}
	return sheet;
}

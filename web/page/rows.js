// SPDX-License-Identifier: ISC
/*
 * A long list of rows in a box that scrolls, of which only those around what is visible are in the
 * document. Rows stand in the order of their `order`; what the reader looks at never moves when
 * rows come or go above it.
 */

/**
 * @typedef {object} Row
 * @property {number} order
 * @property {HTMLElement} [node] only while it is in the document
 */

const MOST = 240;                       // rows in the document
const STEP = 80;                        // rows that come in when somebody scrolls to an end
const NEAR_BOTTOM_PX = 60;

/** @template {Row} R */
export class Rows {
	/**
	 * @param {HTMLElement} box
	 * @param {(row: R) => HTMLElement} build
	 * @param {(row: R, before: R | undefined) => void} dress what depends on the row before it
	 */
	constructor(box, build, dress) {
		this.box = box;
		this.build = build;
		this.dress = dress;
		/** @type {R[]} */
		this.all = [];
		this.first = 0;         // all[first] to all[last - 1] are in the document
		this.last = 0;
		this.following = true;
		this.isDue = false;     // toEnd(), in the next frame
		this.endTop = 0;        // where it left the box
		/** @type {() => void} the reader has scrolled */
		this.onscroll = () => {};
		/** @type {() => void} somebody reads the first row there is */
		this.onbeginning = () => {};
		box.addEventListener('scroll', () => this.scrolled(), { passive: true });
		new ResizeObserver(() => {
			if (this.following)
				this.toEnd();
		}).observe(box);
	}

	clear() {
		for (const row of this.all)
			this.hide(row);
		this.all = [];
		this.first = this.last = 0;
		this.following = true;
	}

	/** Where a row of this order goes: behind its equals. @param {number} order */
	placeOf(order) {
		let [low, high] = [0, this.all.length];

		while (low < high) {
			const middle = (low + high) >> 1;
			if (this.all[middle].order > order)
				high = middle;
			else
				low = middle + 1;
		}
		return low;
	}

	/** @param {R} row @returns {number} where it stands */
	insert(row) {
		const at = this.placeOf(row.order);
		const isBelow = at === this.last && (this.last < this.all.length || this.last - this.first >= MOST);

		this.all.splice(at, 0, row);
		if (at < this.first) {
			this.first++;
			this.last++;
		} else if (at <= this.last && !isBelow) {
			this.last++;
			this.show(at);
		}
		this.dressAt(at + 1);
		return at;
	}

	/** @param {R} row */
	remove(row) {
		const at = this.all.indexOf(row);

		if (at < 0)
			return;
		this.hide(row);
		this.shrunk();
		this.all.splice(at, 1);
		if (at < this.first)
			this.first--;
		if (at < this.last)
			this.last--;
		this.dressAt(at);
	}

	/** A row has another order, and stands where it stood. @param {R} row @param {number} order @returns {boolean} false: its place is another one */
	reorder(row, order) {
		const at = this.all.indexOf(row);

		if (at < 0 || (this.all[at - 1]?.order ?? -Infinity) > order || (this.all[at + 1]?.order ?? Infinity) < order)
			return false;
		row.order = order;
		return true;
	}

	/** @param {number} at puts it in front of the next row that is in the document */
	show(at) {
		const row = this.all[at];
		const node = row.node = this.build(row);

		this.box.insertBefore(node, this.all[at + 1]?.node ?? null);
		this.dressAt(at);
	}

	/** @param {R | undefined} row */
	hide(row) {
		row?.node?.remove();
		if (row !== undefined)
			row.node = undefined;
	}

	/** @param {number} at */
	dressAt(at) {
		if (this.all[at]?.node !== undefined)
			this.dress(this.all[at], this.all[at - 1]);
	}

	/** Rows change, and what is read stays where it is. @param {() => void} change */
	still(change) {
		const edge = this.box.getBoundingClientRect().top;
		const anchor = this.all.slice(this.first, this.last).find((row) => (row.node?.getBoundingClientRect().bottom ?? 0) > edge);
		/** @param {R | undefined} row its end: a date above it may come and go */
		const end = (row) => row?.node?.getBoundingClientRect().bottom;
		const before = end(anchor);

		this.box.setAttribute('aria-busy', 'true');     // nobody wants old rows read out
		change();
		const after = end(anchor);
		if (before !== undefined && after !== undefined)
			this.box.scrollTop += after - before;
		requestAnimationFrame(() => this.box.removeAttribute('aria-busy'));
	}

	/** A row has another height: what is read stays, the end stays the end. @param {() => void} change */
	changed(change) {
		if (this.following) {
			change();
			this.shrunk();
			this.follow();
		} else {
			this.still(change);
		}
	}

	/** Brings a row into view, in the middle. @param {R} row */
	reveal(row) {
		const at = this.all.indexOf(row);

		if (at < 0)
			return;
		if (row.node === undefined) {
			for (const one of this.all.slice(this.first, this.last))
				this.hide(one);
			this.first = this.last = Math.max(0, at - STEP);
			while (this.last < Math.min(this.all.length, at + STEP))
				this.show(this.last++);
		}
		this.following = false;
		/** @type {HTMLElement | undefined} */ (row.node)?.scrollIntoView({ block: 'center' });
		this.following = this.isAtEnd();
	}

	up() {
		this.still(() => {
			for (let n = 0; n < STEP && this.first > 0; n++)
				this.show(--this.first);
			this.trimBelow();
		});
	}

	down() {
		this.still(() => {
			for (let n = 0; n < STEP && this.last < this.all.length; n++)
				this.show(this.last++);
			this.trimAbove();
		});
	}

	trimAbove() {
		while (this.last - this.first > MOST)
			this.hide(this.all[this.first++]);
	}

	trimBelow() {
		while (this.last - this.first > MOST)
			this.hide(this.all[--this.last]);
	}

	/** Older rows have come; they are shown as they are scrolled to. @param {R[]} rows */
	insertAbove(rows) {
		this.still(() => {
			for (const row of rows) {
				const at = this.placeOf(row.order);
				if (at > this.first) {
					this.insert(row);
					continue;
				}
				this.all.splice(at, 0, row);
				this.first++;
				this.last++;
			}
			this.dressAt(this.first);
		});
		this.up();
		this.following = this.isAtEnd();
	}

	/** Forget the oldest of very many; they can be asked for again. @param {number} most @returns {R[]} */
	forget(most) {
		const gone = this.all.splice(0, Math.max(0, Math.min(this.all.length - most, this.first)));

		this.first -= gone.length;
		this.last -= gone.length;
		return gone;
	}

	isAtEnd() {
		const { scrollHeight, scrollTop, clientHeight } = this.box;

		return this.last === this.all.length && scrollHeight - scrollTop - clientHeight < NEAR_BOTTOM_PX;
	}

	/** Many rows may come in one frame: the view follows once. */
	follow() {
		const act = () => {
			this.isDue = false;
			if (this.following)
				this.toEnd();
		};

		if (this.isDue)
			return;
		this.isDue = true;
		this.shrunk();
		if (document.hidden)
			setTimeout(act, 100);
		else
			requestAnimationFrame(act);
	}

	/** Less in the box, or more room for it, moves it down as far as it goes: nobody has scrolled up. */
	shrunk() {
		if (this.following)
			this.endTop = Math.min(this.endTop, this.box.scrollTop);
	}

	toEnd() {
		if (this.all.length - this.last > STEP) {
			for (const row of this.all.slice(this.first, this.last))
				this.hide(row);
			this.first = this.last = this.all.length - STEP;
		}
		while (this.last < this.all.length)
			this.show(this.last++);
		this.trimAbove();
		this.box.scrollTop = this.box.scrollHeight;
		this.endTop = this.box.scrollTop;
		this.following = true;
	}

	scrolled() {
		const { scrollHeight, scrollTop, clientHeight } = this.box;

		this.following = this.isDue && this.following ? scrollTop >= this.endTop - 1 : this.isAtEnd();
		if (scrollTop < clientHeight) {
			if (this.first > 0)
				this.up();
			else if (!this.following)       // the log has only begun to fill
				this.onbeginning();
		} else if (scrollHeight - scrollTop - clientHeight < clientHeight && this.last < this.all.length) {
			this.down();
		}
		this.onscroll();
	}
}

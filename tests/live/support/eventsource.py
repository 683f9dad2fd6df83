"""A parser of event streams to the letter of WHATWG HTML, 9.2.6, and no more lenient: what a browser would see."""


class Interpreter:
    """Takes the bytes of a stream as they come; `events` are (type, data, lastEventId) as dispatched."""

    def __init__(self, last_event_id=""):
        self.last_event_id = last_event_id
        self.retry = None
        self.events, self.comments, self.bare_ids, self.retries = [], [], [], []
        self.fields = []  # of every line that is none of the known ones
        self._text, self._pending, self._begun, self._was_cr = "", b"", False, False
        self._reset()

    def _reset(self):
        self._data, self._type, self._had_id, self._id_buffer = [], "", False, self.last_event_id

    def feed(self, data):
        self._pending += data
        cut = len(self._pending)
        while True:  # what is left of a character stays for the next bytes
            try:
                text = self._pending[:cut].decode("utf-8")
                break
            except UnicodeDecodeError as e:
                assert e.reason == "unexpected end of data" and cut - e.start < 4, f"not UTF-8: {e}"
                cut = e.start
        self._pending = self._pending[cut:]
        if not self._begun and text:
            self._begun = True
            text = text.removeprefix("\ufeff")
        for c in text:
            if self._was_cr and c == "\n":
                self._was_cr = False
                continue
            self._was_cr = c == "\r"
            if c in "\r\n":
                self._line(self._text)
                self._text = ""
            else:
                self._text += c
        return self

    def _line(self, line):
        if line == "":
            return self._dispatch()
        field, colon, value = line.partition(":")
        if field == "" and colon:
            return self.comments.append(value.removeprefix(" "))
        value = value.removeprefix(" ")
        if field == "event":
            self._type = value
        elif field == "data":
            self._data.append(value)
        elif field == "id":
            if "\0" not in value:
                self._id_buffer, self._had_id = value, True
        elif field == "retry":
            if value.isascii() and value.isdigit():
                self.retry = int(value)
                self.retries.append(self.retry)
        else:
            self.fields.append(line)

    def _dispatch(self):
        self.last_event_id = self._id_buffer
        if self._data:
            self.events.append((self._type or "message", "\n".join(self._data), self.last_event_id))
        elif self._had_id:
            self.bare_ids.append(self.last_event_id)
        self._reset()


def interpret(data, last_event_id=""):
    """The whole of a stream that has ended; an unfinished block at its end is dropped, as a browser does, and told."""
    i = Interpreter(last_event_id).feed(data)
    i.cut = bool(i._text or i._data or i._pending)
    return i

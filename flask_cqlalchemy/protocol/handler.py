"""The protocol handler of one session, and the filter that keeps values out of the log."""

from __future__ import annotations

import logging
import re
import threading
import weakref
from collections.abc import Callable
from io import BytesIO
from typing import Any, NamedTuple
from uuid import UUID

from cassandra import ProtocolVersion
from cassandra.cluster import ResponseFuture, Session
from cassandra.protocol import (
    COMPRESSED_FLAG,
    CUSTOM_PAYLOAD_FLAG,
    RESULT_KIND_PREPARED,
    RESULT_KIND_ROWS,
    RESULT_KIND_VOID,
    TRACING_FLAG,
    WARNING_FLAG,
    ExecuteMessage,
    ProtocolHandler,
    ResultMessage,
    read_bytesmap,
    read_stringlist,
)
from cassandra.query import BoundStatement, PreparedStatement

from ..errors import UndecodableResponse
from .decoding import Column, ColumnReader, RowDecoder, read_bytes, reason
from .types import INT32, TWO_INT32, Types, UserTypeMap

log = logging.getLogger("flask_cqlalchemy.protocol")

#: Flags of a ROWS result, and of the query parameters of EXECUTE (native protocol v5, 4.2.5.2 and
#: 4.1.4).
_GLOBAL_TABLE = 0x0001
_MORE_PAGES = 0x0002
_NO_METADATA = 0x0004
_METADATA_CHANGED = 0x0008
_SKIP_METADATA = 0x02

#: Bytes of a frame header since v3, and from the end of EXECUTE's two ids to the flags' last byte:
#: a consistency level of two bytes, then flags of four.
_HEADER_SIZE = 9
_TO_FLAGS = 2 + 3

#: An attribute of a bound statement: whether only instances see its rows.
_FOR_INSTANCES = "_flask_cqlalchemy_for_instances"

#: Decoders kept for statements that are not prepared; beyond it all are forgotten.
_MOST_DECODERS = 256


#: The body of a VOID result (native protocol v5, 4.2.5.1).
_VOID = INT32.pack(RESULT_KIND_VOID)


class Frame(NamedTuple):
    """An answer as the driver hands it to a protocol handler, and what else decoding it needs.

    :ivar user_types: the classes registered with the cluster.
    :ivar flags: of the frame's header (native protocol v5, 2.2).
    :ivar result_metadata: the columns that the driver had cached when it sent the request.
    """

    protocol_version: int
    user_types: UserTypeMap
    stream_id: int
    flags: int
    opcode: int
    body: bytes
    decompressor: Callable[[bytes], bytes] | None
    result_metadata: Any


class _RowsMessage(ResultMessage):  # type: ignore[misc]
    """A ROWS result, which does not print its rows.

    The underscore keeps it out of the driver's registry of messages, which all sessions share.
    """

    def __repr__(self) -> str:
        return f"<ROWS result with the columns {', '.join(self.column_names or ())}>"


#: Beginnings of the server's warnings that hold names and numbers only.
_HARMLESS_WARNING = re.compile(
    r"Read \d+ live rows and \d+ tombstone cells|Aggregation query used [\w ()]+"
    r"|(?:Unlogged batch|Batch) [^']+"
)


def _is_mistaken(warning: object) -> bool:
    """Return whether Cassandra warns of a USE, which nobody has sent.

    It does so for each statement whose request names the keyspace of the tables: the way to do
    without USE. After a USE, it says nothing (tried with 5.0).
    """
    return str(warning).startswith("`USE <keyspace>` with prepared statements is considered to be")


def _log_warnings(warnings: list[str]) -> None:
    # The driver logs them whole; "Read 0 live rows and 1500 tombstone cells" quotes the key.
    for warning in warnings:
        if _is_mistaken(warning):
            continue
        known = _HARMLESS_WARNING.match(warning)
        log.warning(
            "Cassandra warns about a statement: %s. The whole text is in the result's "
            "response_future.warnings.",
            known[0] if known else f"{len(warning)} characters, which may hold values",
        )


class Handler:
    """Encodes and decodes the messages of one session, as the driver's ``ProtocolHandler`` does.

    :param policy: the cluster's column encryption policy, or None.
    """

    encode_message = staticmethod(ProtocolHandler.encode_message)

    def __init__(self, policy: Any = None) -> None:
        self._policy = policy
        self._types = Types()
        self._decoders: dict[tuple[Any, ...], RowDecoder] = {}
        self._lock = threading.Lock()

    def decode_message(
        self,
        *frame: Any,
        prepared: _PreparedHandler | None = None,
        for_instances: bool = False,
    ) -> Any:
        """Return the driver's message for a frame, or an ``UndecodableResponse``.

        It never raises: for an exception here the driver closes the connection, and logs its buffer
        with the answers of other requests.

        :param frame: the parts of a ``Frame``, which the driver passes one by one.
        """
        received = Frame(*frame)
        try:
            message = self._decode(received, prepared, for_instances)
        except Exception as error:
            if prepared is not None:
                prepared.skips_metadata = False
            # Without its cause, whose text and traceback may quote the answer.
            message = UndecodableResponse(
                f"An answer of Cassandra ({len(received.body)} bytes, opcode "
                f"{received.opcode:#04x}) cannot be read: {reason(error)}. The connection stays "
                "open."
            )
        message.stream_id = received.stream_id
        return message

    def _decode(self, frame: Frame, prepared: _PreparedHandler | None, for_instances: bool) -> Any:
        flags, body = frame.flags, frame.body
        if body == _VOID and frame.opcode == ResultMessage.opcode and not flags:
            # What most writes are answered: there is nothing to read.
            message = ResultMessage(RESULT_KIND_VOID)
            message.trace_id = None
            return message
        if (
            flags & COMPRESSED_FLAG
            and frame.decompressor is not None
            and not ProtocolVersion.has_checksumming_support(frame.protocol_version)
        ):
            body = frame.decompressor(body)
        trace_id = warnings = payload = None
        if flags & (TRACING_FLAG | WARNING_FLAG | CUSTOM_PAYLOAD_FLAG):
            stream = BytesIO(body)
            if flags & TRACING_FLAG:
                trace_id = UUID(bytes=stream.read(16))
            if flags & WARNING_FLAG:
                warnings = read_stringlist(stream)
                _log_warnings(warnings)
            if flags & CUSTOM_PAYLOAD_FLAG:
                payload = read_bytesmap(stream)
            body = stream.read()
        if frame.opcode == ResultMessage.opcode and INT32.unpack_from(body)[0] == RESULT_KIND_ROWS:
            message = self._decode_rows(frame, body, prepared, for_instances)
        else:
            message_class = ProtocolHandler.message_types_by_opcode[frame.opcode]
            message = message_class.recv_body(
                BytesIO(body),
                frame.protocol_version,
                frame.user_types,
                frame.result_metadata,
                self._policy,
            )
            if prepared is not None and getattr(message, "kind", None) == RESULT_KIND_PREPARED:
                # The statement was prepared again. The driver stores these columns and their id
                # one after the other; ours know their id.
                message.column_metadata = prepared.make_columns(
                    message.column_metadata, message.result_metadata_id
                )
        message.trace_id = trace_id
        message.custom_payload = payload
        message.warnings = warnings
        return message

    def _decode_rows(
        self, frame: Frame, body: bytes, prepared: _PreparedHandler | None, for_instances: bool
    ) -> _RowsMessage:
        """Decode the rows in ``body``: the frame's, decompressed and without what comes first."""
        protocol_version, registered = frame.protocol_version, frame.user_types
        message = _RowsMessage(RESULT_KIND_ROWS)
        flags, count = TWO_INT32.unpack_from(body, 4)
        position = 12
        if flags & _MORE_PAGES:
            message.paging_state, position = read_bytes(body, position)
        if flags & _NO_METADATA:
            decoder = (
                prepared.find_decoder(registered, protocol_version, for_instances)
                if prepared
                else None
            )
            if decoder is None or len(decoder.names) != count:
                raise IndexError
        else:
            reader = ColumnReader(body, position, self._types, registered)
            new_id = reader.read_short_bytes() if flags & _METADATA_CHANGED else None
            columns = reader.read_columns(count, one_table=bool(flags & _GLOBAL_TABLE))
            position = reader.position
            decoder = self.find_decoder(columns, protocol_version, for_instances)
            message.column_metadata = columns
            if new_id is not None and prepared is not None:
                prepared.remember(columns, new_id)
        message.column_names = decoder.names
        message.column_types = decoder.types
        message.parsed_rows = decoder.decode_rows(body[position:], protocol_version)
        return message

    def find_decoder(
        self, columns: list[Column], protocol_version: int, for_instances: bool = False
    ) -> RowDecoder:
        """Return the decoder for columns of our types."""
        key = (for_instances, *columns)
        decoder = self._decoders.get(key)
        if decoder is None:
            if len(self._decoders) >= _MOST_DECODERS:
                self._decoders.clear()
            decoder = self._decoders[key] = RowDecoder(
                columns, self._policy, protocol_version, for_instances=for_instances
            )
        return decoder

    def make_decoder(
        self,
        columns: list[Column],
        registered: UserTypeMap,
        protocol_version: int,
        for_instances: bool,
    ) -> RowDecoder:
        """Return the decoder for columns of the driver's types."""
        return self.find_decoder(
            [
                (keyspace, table, name, self._types.find(cqltype, registered))
                for keyspace, table, name, cqltype in columns
            ],
            protocol_version,
            for_instances,
        )

    def prepare_request(self, request: ResponseFuture) -> None:
        """Tie a request to the columns that belong to the metadata id it sends.

        The driver reads a statement's id when it makes the message, and its columns when it sends
        it; another thread may have changed both in between. What decides is the id in the message:
        an answer without columns has the columns of that id.
        """
        statement = request.prepared_statement
        if statement is None or not isinstance(request.message, ExecuteMessage):
            return
        columns = statement.result_metadata
        if not isinstance(columns, _ResultColumns) or columns.handler.session_handler is not self:
            if not columns or not statement.result_metadata_id:
                return
            columns = self._adopt(statement)
        request.message.result_metadata_id = columns.handler.metadata_id
        handler = columns.handler
        for_instances = getattr(request.query, _FOR_INSTANCES, False)
        request._protocol_handler = handler.for_instances if for_instances else handler

    def _adopt(self, statement: PreparedStatement) -> _ResultColumns:
        # The statement has not been executed yet, so nothing else changes its columns and their id.
        with self._lock:
            columns = statement.result_metadata
            metadata_id = statement.result_metadata_id
            if isinstance(columns, _ResultColumns):
                if columns.handler.session_handler is self:
                    return columns
                metadata_id = columns.handler.metadata_id
            handler = _PreparedHandler(self, statement, columns, metadata_id)
            statement.result_metadata = handler.columns
            return handler.columns


class _ResultColumns(list[Column]):
    """The result columns of a prepared statement, with the handler that knows their id.

    One reference to replace, so that no thread sees the columns of one id with another.
    """

    handler: _PreparedHandler


class _PreparedHandler:
    """Encodes and decodes the requests that send one metadata id of one prepared statement."""

    def __init__(
        self,
        session_handler: Handler,
        statement: PreparedStatement,
        columns: list[Column],
        metadata_id: bytes,
    ) -> None:
        self.session_handler = session_handler
        self.metadata_id = metadata_id
        self.columns = _ResultColumns(columns)
        self.columns.handler = self
        #: Cleared when an answer does not fit the columns: then Cassandra sends them again.
        self.skips_metadata = True
        self.for_instances = _HandlerForInstances(self)
        self._statement = weakref.ref(statement)
        self._decoders: dict[bool, RowDecoder] = {}

    def encode_message(
        self,
        message: Any,
        stream_id: int,
        protocol_version: int,
        compressor: Any,
        allow_beta_protocol_version: bool,
    ) -> bytes:
        """Encode as the driver does, and set the flag that it never sets: "skip metadata"."""
        frame: bytes = ProtocolHandler.encode_message(
            message, stream_id, protocol_version, compressor, allow_beta_protocol_version
        )
        if (
            self.skips_metadata
            and protocol_version == ProtocolVersion.V5
            and isinstance(message, ExecuteMessage)
            and message.result_metadata_id is self.metadata_id
            and not message.custom_payload
        ):
            at = _HEADER_SIZE + 2 + len(message.query_id) + 2 + len(self.metadata_id) + _TO_FLAGS
            return b"%b%c%b" % (frame[:at], frame[at] | _SKIP_METADATA, frame[at + 1 :])
        return frame

    def decode_message(self, *arguments: Any) -> Any:
        """Decode as ``Handler`` does, with the columns of this id.

        Those that the driver passes were read when it sent the request, and may be of another id.
        """
        return self.session_handler.decode_message(*arguments, prepared=self)

    def find_decoder(
        self, registered: UserTypeMap, protocol_version: int, for_instances: bool
    ) -> RowDecoder:
        """Return how to decode an answer that came without columns."""
        decoder = self._decoders.get(for_instances)
        if decoder is None or not decoder.is_current(registered):
            decoder = self._decoders[for_instances] = self.session_handler.make_decoder(
                self.columns, registered, protocol_version, for_instances
            )
        return decoder

    def make_columns(self, columns: list[Column], metadata_id: bytes) -> _ResultColumns:
        """Return result columns for the same statement that have another id."""
        handler = _PreparedHandler(self.session_handler, self._statement(), columns, metadata_id)
        return handler.columns

    def remember(self, columns: list[Column], metadata_id: bytes) -> None:
        """Have later requests send the new id."""
        statement = self._statement()
        if statement is not None:
            statement.result_metadata = self.make_columns(columns, metadata_id)
            statement.result_metadata_id = metadata_id


class _HandlerForInstances:
    """The same for a request whose rows only instances see: they make their own collections."""

    def __init__(self, handler: _PreparedHandler) -> None:
        self._handler = handler
        self.encode_message = handler.encode_message

    def decode_message(self, *arguments: Any) -> Any:
        """Decode, with lists in place of sets and dictionaries in place of the driver's maps."""
        handler = self._handler
        return handler.session_handler.decode_message(
            *arguments, prepared=handler, for_instances=True
        )


class _Redaction(logging.Filter):
    """Takes values out of the two messages in which the driver would log them, and drops a warning
    of Cassandra that is not so.

    One prints a connection's receive buffer, in which other requests' answers may be: the driver's
    own requests, such as PREPARE, are decoded by its own handler. The other prints a whole value
    when the class of a user type lacks a field.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        text = str(record.msg)
        if text.startswith("Server warning: ") and isinstance(record.args, tuple):
            return not any(map(_is_mistaken, record.args))
        if "buffer: %r" in text and isinstance(record.args, tuple):
            *others, buffer = record.args
            size = len(buffer) if isinstance(buffer, bytes) else 0
            error = record.exc_info[0] if record.exc_info else None
            cause = f", {error.__name__}" if error else ""
            record.args = (*others, f"{size} bytes{cause}")
            record.exc_info = record.exc_text = None
        elif " is part of the UDT " in text:
            record.msg = text.partition(" but is not present in the value ")[0] + " but is missing"
        return True


_redaction = _Redaction()


def mark_for_instances(statement: BoundStatement) -> None:
    """Mark a statement whose rows only instances will see.

    They make collections of their own, so that a set may come as a list and a map as a dictionary.
    """
    setattr(statement, _FOR_INSTANCES, True)


def install(session: Session, *, skip_metadata: bool = True) -> None:
    """Have a session decode by these rules, before its first statement is executed.

    :param skip_metadata: whether answers to prepared statements leave out the columns, which are
        cached with the statement. Only done on protocol v5, where Cassandra says when they change.
    """
    handler = Handler(session.cluster.column_encryption_policy)
    session.client_protocol_handler = handler
    if skip_metadata:
        session.add_request_init_listener(handler.prepare_request)
    for name in ("cassandra.connection", "cassandra.cqltypes", "cassandra.protocol"):
        logging.getLogger(name).addFilter(_redaction)

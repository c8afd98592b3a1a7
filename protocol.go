package walve

// checkFrame holds h, the header of a frame that has come in, against the
// rules that need to know the role and the frames before: msg is the opcode of
// the message in progress, 0 for none. deflate says that permessage-deflate was
// agreed on.
func checkFrame(h Header, server bool, msg Opcode, deflate bool) error {
	switch {
	case (h.RSV1 || h.RSV2 || h.RSV3) && !(deflate && h.beginsDeflated()):
		// RFC 6455, 5.2: "MUST be 0 unless an extension is negotiated that
		// defines meanings for non-zero values."
		return protocolError("reserved bit without its extension")
	case server && !h.Masked:
		// RFC 6455, 5.1: "The server MUST close the connection upon receiving
		// a frame that is not masked."
		return protocolError("frame of a client is not masked")
	case !server && h.Masked:
		// RFC 6455, 5.1: "A client MUST close a connection if it detects a
		// masked frame."
		return protocolError("frame of a server is masked")
	case h.Opcode == OpContinuation && msg == 0:
		// RFC 6455, 5.4: a continuation follows an unfinished message.
		return protocolError("continuation without a message")
	case (h.Opcode == OpText || h.Opcode == OpBinary) && msg != 0:
		// RFC 6455, 5.4: "The fragments of one message MUST NOT be interleaved
		// between the fragments of another message."
		return protocolError("message inside a fragmented message")
	}
	return nil
}

// beginsDeflated reports whether the reserved bits are those of a compressed
// message's first frame. RFC 7692, 6.1: RSV1 is set there, and neither in a
// later one nor in a control frame.
func (h Header) beginsDeflated() bool {
	return !h.RSV2 && !h.RSV3 && (h.Opcode == OpText || h.Opcode == OpBinary)
}

func protocolError(reason string) *ProtocolError {
	return &ProtocolError{Code: StatusProtocolError, Reason: reason}
}

// parseClose takes the payload of a Close frame apart (RFC 6455, 5.5.1).
func parseClose(p []byte) (StatusCode, string, error) {
	if len(p) == 0 {
		return StatusNoStatusReceived, "", nil
	}
	if len(p) == 1 {
		return 0, "", protocolError("close payload of one byte")
	}
	code := StatusCode(p[0])<<8 | StatusCode(p[1])
	if !code.sendable() {
		// RFC 6455, 7.4.1 and 7.4.2: reserved, or outside every range.
		return 0, "", protocolError("bad close code")
	}
	var text utf8Checker
	if !text.valid(p[2:]) || !text.complete() {
		// RFC 6455, 5.5.1 and 8.1: the reason is UTF-8.
		return 0, "", &ProtocolError{Code: StatusInvalidFramePayloadData, Reason: "close reason is not UTF-8"}
	}
	return code, string(p[2:]), nil
}

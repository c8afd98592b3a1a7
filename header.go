package walve

import (
	"encoding/binary"
	"errors"
	"strconv"
)

// Opcode says what a frame carries: RFC 6455 section 5.2 and section 11.8.
//
// The values the RFC leaves reserved, 3 to 7 and 11 to 15, are refused
// wherever a [Header] is read or written.
type Opcode uint8

const (
	OpContinuation Opcode = 0x0 // a further fragment of the message begun by a text or binary frame, section 5.4
	OpText         Opcode = 0x1 // the first frame of a message of UTF-8 text, section 5.6
	OpBinary       Opcode = 0x2 // the first frame of a message of bytes, section 5.6
	OpClose        Opcode = 0x8 // the last frame of its direction, section 5.5.1
	OpPing         Opcode = 0x9 // asks for a Pong with the same payload, section 5.5.2
	OpPong         Opcode = 0xA // answers a Ping, or none, section 5.5.3
)

// IsControl reports whether frames with this opcode are control frames, which
// may stand between the fragments of a message: RFC 6455 section 5.5. It is
// true of the reserved control opcodes 11 to 15 as well.
func (op Opcode) IsControl() bool { return op&0x8 != 0 }

// String returns the RFC's name of op in lower case, such as "text" or
// "close".
func (op Opcode) String() string {
	switch op {
	case OpContinuation:
		return "continuation"
	case OpText:
		return "text"
	case OpBinary:
		return "binary"
	case OpClose:
		return "close"
	case OpPing:
		return "ping"
	case OpPong:
		return "pong"
	}
	return "reserved opcode " + strconv.Itoa(int(op))
}

// reserved reports whether RFC 6455 section 11.8 gives op no meaning.
func (op Opcode) reserved() bool {
	const defined = 1<<OpContinuation | 1<<OpText | 1<<OpBinary | 1<<OpClose | 1<<OpPing | 1<<OpPong
	return op > 0xF || defined>>op&1 == 0
}

// Header is all of a frame but its payload: RFC 6455 section 5.2.
//
// The zero value is a fragment, a continuation frame without FIN, that is not
// masked and has no payload. A whole message in one frame is
//
//	Header{Fin: true, Opcode: OpBinary, Length: int64(len(payload))}
type Header struct {
	// Fin marks the last frame of a message. Control frames always have it.
	Fin bool

	// RSV1, RSV2 and RSV3 mean what a negotiated extension says. A Header
	// carries them as they are; [Conn] refuses those without an extension.
	RSV1, RSV2, RSV3 bool

	Opcode Opcode

	// Masked says that the payload is masked with MaskKey, as every frame
	// from a client is and none from a server: RFC 6455 section 5.1.
	Masked bool

	// MaskKey is the masking key of RFC 6455 section 5.3. It is not looked
	// at, and not on the wire, unless Masked is set.
	MaskKey [4]byte

	// Length of the payload in bytes, from 0 to 2^63-1; for control frames
	// to 125.
	Length int64
}

const (
	maxHeaderSize     = 14  // two bytes, eight of extended payload length, four of masking key
	maxControlPayload = 125 // RFC 6455 section 5.5
)

const (
	finBit  = 0x80 // of the first byte
	rsv1Bit = 0x40
	rsv2Bit = 0x20
	rsv3Bit = 0x10

	maskBit  = 0x80 // of the second byte
	length16 = 126  // the second byte's length: two bytes with the length follow
	length64 = 127  // eight bytes follow
)

// What the sections 5.2 and 5.5 of RFC 6455 forbid in a header.
const (
	reasonReservedOpcode    = "reserved opcode"
	reasonFragmentedControl = "fragmented control frame"
	reasonLongControl       = "control frame payload over 125 bytes"
	reasonNotMinimal        = "payload length not in its shortest form"
	reasonTopBit            = "most significant bit of the payload length set"
	reasonNegativeLength    = "negative payload length"
)

// AppendBinary appends h as it is on the wire, 2 to 14 bytes, to b. It
// implements [encoding.BinaryAppender].
//
// It fails, and returns b as it was, for what RFC 6455 allows in no header: a
// reserved opcode, a Length below 0, and a control frame that is fragmented or
// longer than 125 bytes.
func (h Header) AppendBinary(b []byte) ([]byte, error) {
	if reason := h.invalid(); reason != "" {
		return b, errors.New("websocket: invalid header: " + reason)
	}
	b0 := byte(h.Opcode)
	if h.Fin {
		b0 |= finBit
	}
	if h.RSV1 {
		b0 |= rsv1Bit
	}
	if h.RSV2 {
		b0 |= rsv2Bit
	}
	if h.RSV3 {
		b0 |= rsv3Bit
	}
	var b1 byte
	if h.Masked {
		b1 = maskBit
	}
	// Section 5.2: "the minimal number of bytes MUST be used to encode the
	// length".
	switch {
	case h.Length < length16:
		b = append(b, b0, b1|byte(h.Length))
	case h.Length <= 0xFFFF:
		b = append(b, b0, b1|length16, byte(h.Length>>8), byte(h.Length))
	default:
		b = append(b, b0, b1|length64)
		b = binary.BigEndian.AppendUint64(b, uint64(h.Length))
	}
	if h.Masked {
		b = append(b, h.MaskKey[:]...)
	}
	return b, nil
}

// invalid returns what is wrong with h, or "".
func (h *Header) invalid() (reason string) {
	switch {
	case h.Opcode.reserved():
		return reasonReservedOpcode
	case h.Length < 0:
		return reasonNegativeLength
	case !h.Opcode.IsControl():
		return ""
	case !h.Fin:
		return reasonFragmentedControl
	case h.Length > maxControlPayload:
		return reasonLongControl
	}
	return ""
}

// parseHeader reads the header that b begins with and returns its size n. If n
// is 0 and err nil, more bytes are needed. It fails, with a *ProtocolError, as
// soon as the bytes that are there show a violation, whatever may follow.
func parseHeader(b []byte) (h Header, n int, err error) {
	n, err = h.parse(b)
	return h, n, err
}

// parse is parseHeader into h, which it sets only if n > 0. It takes a third of
// the time, 4 ns: to copy a Header whose single bytes have just been written,
// the processor has to wait for them.
func (h *Header) parse(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	op := Opcode(b[0] & 0xF)
	// Section 5.2: "If an unknown opcode is received, the receiving endpoint
	// MUST _Fail the WebSocket Connection_."
	if op.reserved() {
		return 0, headerError(reasonReservedOpcode)
	}
	// Section 5.5: "All control frames MUST have a payload length of 125 bytes
	// or less and MUST NOT be fragmented."
	if op.IsControl() && b[0]&finBit == 0 {
		return 0, headerError(reasonFragmentedControl)
	}
	if len(b) < 2 {
		return 0, nil
	}
	length := int64(b[1] &^ maskBit)
	if op.IsControl() && length > maxControlPayload {
		return 0, headerError(reasonLongControl)
	}
	n = 2
	switch length {
	case length16:
		if len(b) < 4 {
			return 0, nil
		}
		length = int64(binary.BigEndian.Uint16(b[2:4]))
		if length < length16 {
			return 0, headerError(reasonNotMinimal)
		}
		n = 4
	case length64:
		// Section 5.2: "(the most significant bit MUST be 0)".
		if len(b) > 2 && b[2]&0x80 != 0 {
			return 0, headerError(reasonTopBit)
		}
		if len(b) < 10 {
			// A length below 65536 is one with its first six bytes zero.
			if len(b) >= 8 && binary.BigEndian.Uint64(b[:8])<<16 == 0 {
				return 0, headerError(reasonNotMinimal)
			}
			return 0, nil
		}
		length = int64(binary.BigEndian.Uint64(b[2:10]))
		if length <= 0xFFFF {
			return 0, headerError(reasonNotMinimal)
		}
		n = 10
	}
	if b[1]&maskBit != 0 {
		if len(b) < n+4 {
			return 0, nil
		}
		h.MaskKey = [4]byte(b[n:])
		n += 4
	} else {
		h.MaskKey = [4]byte{}
	}
	h.Masked = b[1]&maskBit != 0
	h.Fin = b[0]&finBit != 0
	h.RSV1 = b[0]&rsv1Bit != 0
	h.RSV2 = b[0]&rsv2Bit != 0
	h.RSV3 = b[0]&rsv3Bit != 0
	h.Opcode = op
	h.Length = length
	return n, nil
}

// headerSize returns the size of the header whose second byte is b1.
func headerSize(b1 byte) int {
	n := 2
	switch b1 &^ maskBit {
	case length16:
		n += 2
	case length64:
		n += 8
	}
	if b1&maskBit != 0 {
		n += 4
	}
	return n
}

//go:noinline
func headerError(reason string) error {
	return &ProtocolError{Code: StatusProtocolError, Reason: reason}
}

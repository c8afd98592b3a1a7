package walve

import (
	"errors"
	"strconv"
)

// StatusCode says why a connection is closed: RFC 6455 section 7.4 and the
// IANA WebSocket Close Code Number Registry.
//
// Codes from 3000 to 3999 are for libraries, frameworks and applications,
// registered with IANA, and those from 4000 to 4999 for private use: section
// 7.4.2. A Close frame carries one of these or one of those below but
// StatusNoStatusReceived, StatusAbnormalClosure and StatusTLSHandshake, which
// stand for what no Close frame has said.
type StatusCode uint16

const (
	StatusNormalClosure           StatusCode = 1000 // the purpose of the connection is fulfilled
	StatusGoingAway               StatusCode = 1001 // a server shuts down, a browser leaves the page
	StatusProtocolError           StatusCode = 1002 // the peer broke RFC 6455
	StatusUnsupportedData         StatusCode = 1003 // a type of data that cannot be accepted, such as binary instead of text
	StatusNoStatusReceived        StatusCode = 1005 // never sent: the Close frame had no code
	StatusAbnormalClosure         StatusCode = 1006 // never sent: there was no Close frame
	StatusInvalidFramePayloadData StatusCode = 1007 // data that is not what its type says, such as text that is not UTF-8
	StatusPolicyViolation         StatusCode = 1008 // refused for a reason no other code tells
	StatusMessageTooBig           StatusCode = 1009 // a message too big to process
	StatusMandatoryExtension      StatusCode = 1010 // the server did not agree to an extension that the client needs
	StatusInternalError           StatusCode = 1011 // the server met an unexpected condition
	StatusServiceRestart          StatusCode = 1012 // the server restarts: connect again, after a random delay
	StatusTryAgainLater           StatusCode = 1013 // the server is overloaded
	StatusBadGateway              StatusCode = 1014 // a gateway got an invalid answer from the server behind it
	StatusTLSHandshake            StatusCode = 1015 // never sent: the TLS handshake failed
)

// String returns the number and, if it is one of the constants, its name, such
// as "1001 going away".
func (c StatusCode) String() string {
	s := strconv.Itoa(int(c))
	if name := c.name(); name != "" {
		s += " " + name
	}
	return s
}

func (c StatusCode) name() string {
	switch c {
	case StatusNormalClosure:
		return "normal closure"
	case StatusGoingAway:
		return "going away"
	case StatusProtocolError:
		return "protocol error"
	case StatusUnsupportedData:
		return "unsupported data"
	case StatusNoStatusReceived:
		return "no status received"
	case StatusAbnormalClosure:
		return "abnormal closure"
	case StatusInvalidFramePayloadData:
		return "invalid frame payload data"
	case StatusPolicyViolation:
		return "policy violation"
	case StatusMessageTooBig:
		return "message too big"
	case StatusMandatoryExtension:
		return "mandatory extension"
	case StatusInternalError:
		return "internal error"
	case StatusServiceRestart:
		return "service restart"
	case StatusTryAgainLater:
		return "try again later"
	case StatusBadGateway:
		return "bad gateway"
	case StatusTLSHandshake:
		return "TLS handshake"
	}
	return ""
}

// sendable reports whether a Close frame may carry c, in either direction.
func (c StatusCode) sendable() bool {
	switch {
	// RFC 6455 section 7.4.1: 1005, 1006 and 1015 are "reserved" and "MUST NOT
	// be set as a status code in a Close control frame"; 1004 has no meaning.
	case c >= 1000 && c <= 1003, c >= 1007 && c <= 1014:
		return true
	// Section 7.4.2: below 1000 "are not used", 1016 to 2999 are for future
	// versions of the protocol, above 4999 there is nothing.
	case c >= 3000 && c <= 4999:
		return true
	}
	return false
}

// ErrWriteTooLong is returned by writes of more payload than the header of the
// frame declared.
var ErrWriteTooLong = errors.New("websocket: write beyond the length of the frame")

// CloseError says that the peer closed the connection, and why: what its Close
// frame carried, RFC 6455 section 5.5.1. Those with StatusNormalClosure, or
// without a code, between messages are the clean end of the stream and reads
// return io.EOF for them instead.
type CloseError struct {
	Code   StatusCode // StatusNoStatusReceived if the frame had none
	Reason string     // UTF-8, at most 123 bytes; often empty
}

// Error returns a text such as "websocket: closed by peer: 1001 going away",
// with the reason, if there is one, quoted behind it.
func (e *CloseError) Error() string {
	s := "websocket: closed by peer: " + e.Code.String()
	if e.Reason != "" {
		s += ": " + strconv.Quote(e.Reason) // the peer's words: no line of ours in a log
	}
	return s
}

// ProtocolError says that the peer broke the protocol, and how. Where a [Conn]
// returns it the peer has been told Code in a Close frame: RFC 6455 section
// 7.1.7. A [FrameReader] sends nothing.
type ProtocolError struct {
	Code   StatusCode // StatusProtocolError, StatusInvalidFramePayloadData or StatusMessageTooBig
	Reason string
}

// Error returns a text such as "websocket: 1002 protocol error: reserved
// opcode".
func (e *ProtocolError) Error() string {
	s := "websocket: " + e.Code.String()
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

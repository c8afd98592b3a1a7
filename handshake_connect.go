package walve

import "net/http"

// isExtendedConnect reports whether r asks for an upgrade as RFC 8441, 4, has
// it: "The :method pseudo-header field value is CONNECT [and] the :protocol
// pseudo-header field [...] is websocket".
func isExtendedConnect(r *http.Request) bool {
	if r.ProtoMajor != 2 || r.Method != http.MethodConnect {
		return false
	}
	protocol := r.Header[":protocol"]
	return len(protocol) == 1 && equalFold(protocol[0], "websocket")
}

// checkConnect holds r against RFC 8441, 5: what RFC 6455 says of the handshake
// but for the fields that say how HTTP/1.1 switches protocols, and for the key.
func checkConnect(r *http.Request) *HandshakeError {
	switch versions := r.Header["Sec-Websocket-Version"]; {
	case len(versions) > 1:
		return &HandshakeError{StatusCode: http.StatusBadRequest, Reason: "repeated Sec-WebSocket-Version"}
	case len(versions) == 0 || versions[0] != protocolVersion:
		return &HandshakeError{StatusCode: http.StatusUpgradeRequired, Reason: "the version of the protocol is not 13"}
	}
	return nil
}

package walve

import "strconv"

// The negotiation of permessage-deflate: RFC 7692, 7.1.
const (
	deflateExtension      = "permessage-deflate"
	paramServerNoTakeover = "server_no_context_takeover"
	paramClientNoTakeover = "client_no_context_takeover"
	paramServerWindowBits = "server_max_window_bits"
	paramClientWindowBits = "client_max_window_bits"
	minWindowBits         = 8
	maxWindowBits         = 15
)

// deflateParams are the parameters of an offer or an answer.
type deflateParams struct {
	serverNoTakeover, clientNoTakeover bool
	serverBits, clientBits             int // 0: not mentioned, or without a value
}

// parseDeflate takes the parameters of an offer, or of an answer, apart. ok is
// false if the list "contains an extension parameter not defined for use" in
// it, one "with an invalid value" or "multiple extension parameters with the
// same name": RFC 7692, 7.
func parseDeflate(params []extensionParam, answer bool) (d deflateParams, ok bool) {
	for i, p := range params {
		for _, earlier := range params[:i] {
			if earlier.name == p.name {
				return d, false
			}
		}
		bits, valid := windowBits(p.value)
		switch {
		case p.name == paramServerNoTakeover && !p.hasValue:
			d.serverNoTakeover = true
		case p.name == paramClientNoTakeover && !p.hasValue:
			d.clientNoTakeover = true
		case p.name == paramServerWindowBits && valid:
			d.serverBits = bits
		case p.name == paramClientWindowBits && (valid || !p.hasValue && !answer):
			// 7.1.2.2: only in an offer it may have no value.
			d.clientBits = bits
		default:
			return d, false
		}
	}
	return d, true
}

// windowBits parses "a decimal integer value without leading zeroes between 8
// to 15, inclusive": RFC 7692, 7.1.2.1.
func windowBits(value string) (bits int, ok bool) {
	bits, err := strconv.Atoi(value)
	if err != nil || bits < minWindowBits || bits > maxWindowBits || value != strconv.Itoa(bits) {
		return 0, false
	}
	return bits, true
}

// acceptDeflate is the server's choice: the first of the offers, which come in
// the client's order of preference, whose parameters are valid, since there is
// none that cannot be honoured; and the answer to it. It returns nil if there is
// no such offer, or no c: RFC 7692, 5 and 7.
func acceptDeflate(c *Compression, offers []extension) (agreed *deflateAgreement, answer extension) {
	if c == nil {
		return nil, extension{}
	}
	for _, o := range offers {
		if o.name != deflateExtension {
			continue
		}
		d, ok := parseDeflate(o.params, false)
		if !ok {
			continue
		}
		a := c.agreement()
		answer.name = deflateExtension
		// 7.1.1: a server may exclude either takeover "even if the extension
		// negotiation offer [...] didn't include" the parameter.
		if d.serverNoTakeover || c.NoSendTakeover {
			a.send.takeover = false
			answer.params = append(answer.params, extensionParam{name: paramServerNoTakeover})
		}
		if d.clientNoTakeover || c.NoReceiveTakeover {
			a.receive.takeover = false
			answer.params = append(answer.params, extensionParam{name: paramClientNoTakeover})
		}
		// 7.1.2.1: "A server accepts an extension negotiation offer with this
		// parameter by including the "server_max_window_bits" extension
		// parameter in the extension negotiation response [...] with the same
		// or smaller value as the offer."
		if d.serverBits != 0 {
			a.send.bits = d.serverBits
			answer.params = append(answer.params, bitsParam(paramServerWindowBits, d.serverBits))
		}
		// 7.1.2.2: a client that says how much it needs is held to it, which
		// saves the rest of the window.
		if d.clientBits != 0 {
			a.receive.bits = d.clientBits
			answer.params = append(answer.params, bitsParam(paramClientWindowBits, d.clientBits))
		}
		return a, answer
	}
	return nil, extension{}
}

func bitsParam(name string, bits int) extensionParam {
	return extensionParam{name: name, value: strconv.Itoa(bits), hasValue: true}
}

// offerDeflate is what a client that wants c asks for.
func offerDeflate(c *Compression) extension {
	e := extension{name: deflateExtension}
	if c.NoReceiveTakeover {
		e.params = append(e.params, extensionParam{name: paramServerNoTakeover})
	}
	if c.NoSendTakeover {
		// 7.1.1.2: a hint, so that the server need not keep a window.
		e.params = append(e.params, extensionParam{name: paramClientNoTakeover})
	}
	// 7.1.2.2: without a value it says that the server may limit the window.
	return extension{e.name, append(e.params, extensionParam{name: paramClientWindowBits})}
}

// confirmDeflate is the client's check of the answer to offerDeflate(c). RFC
// 7692, 7: "A client MUST _Fail the WebSocket Connection_ if the peer server
// accepted an extension negotiation offer for this extension with an extension
// negotiation response" that parseDeflate refuses, or that the client does not
// support.
func confirmDeflate(c *Compression, answer extension) (agreed *deflateAgreement, ok bool) {
	if c == nil || answer.name != deflateExtension {
		return nil, false
	}
	d, ok := parseDeflate(answer.params, true)
	// 7.1.1.1: "A server accepts an extension negotiation offer that includes
	// the "server_no_context_takeover" extension parameter by including the"
	// same in the response.
	if !ok || c.NoReceiveTakeover && !d.serverNoTakeover {
		return nil, false
	}
	a := c.agreement()
	a.send.takeover = !c.NoSendTakeover && !d.clientNoTakeover
	a.receive.takeover = !d.serverNoTakeover
	if d.clientBits != 0 {
		a.send.bits = d.clientBits
	}
	if d.serverBits != 0 {
		a.receive.bits = d.serverBits
	}
	return a, true
}

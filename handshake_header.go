package walve

import "strings"

// halfCloseExtension is the extension-token by which two walve ends know each
// other, without parameters. Where both have named it, a Close frame ends one
// direction only, as FIN does in TCP: the side that got it goes on writing
// until it sends its own. Nothing else changes on the wire.
const halfCloseExtension = "walve.half-close"

// extensions is what both ends have agreed on in Sec-WebSocket-Extensions.
type extensions struct {
	halfClose bool
	deflate   *deflateAgreement // nil: no compression
	answer    []extension       // of the server
}

// An extension is one element of Sec-WebSocket-Extensions: an offer from the
// client or an acceptance from the server.
type extension struct {
	name   string
	params []extensionParam
}

// An extensionParam is a parameter of an extension. One without a value is not
// the same as one with an empty value, which the grammar does not allow.
type extensionParam struct {
	name, value string
	hasValue    bool
}

// clientOffers is what a Dialer asks for.
func clientOffers(c *Compression) []extension {
	offers := []extension{{name: halfCloseExtension}}
	if c != nil {
		offers = append(offers, offerDeflate(c))
	}
	return offers
}

// acceptExtensions is the server's choice among the offers, which come in the
// client's order of preference. An offer that is not understood in every
// parameter is declined, which is never an error: RFC 6455, 9.1.
func acceptExtensions(c *Compression, offers []extension) (agreed extensions) {
	for _, o := range offers {
		if o.name == halfCloseExtension && len(o.params) == 0 && !agreed.halfClose {
			agreed.halfClose = true
			agreed.answer = append(agreed.answer, o)
		}
	}
	deflate, answer := acceptDeflate(c, offers)
	if deflate != nil {
		agreed.deflate = deflate
		agreed.answer = append(agreed.answer, answer)
	}
	return agreed
}

// confirmExtensions is the client's check of what the server has accepted; ok
// is false if anything in it was not offered, or is there twice. RFC 6455,
// 4.1: "[if it] indicates the use of an extension that was not present in the
// client's handshake [...], the client MUST _Fail the WebSocket Connection_."
func confirmExtensions(c *Compression, accepted []extension) (agreed extensions, ok bool) {
	for _, a := range accepted {
		switch {
		case a.name == halfCloseExtension && len(a.params) == 0 && !agreed.halfClose:
			agreed.halfClose = true
		case a.name == deflateExtension && agreed.deflate == nil:
			if agreed.deflate, ok = confirmDeflate(c, a); !ok {
				return extensions{}, false
			}
		default:
			return extensions{}, false
		}
	}
	return agreed, true
}

// appendExtensions appends list as a value of Sec-WebSocket-Extensions.
func appendExtensions(b []byte, list ...extension) []byte {
	for i, e := range list {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(b, e.name...)
		for _, p := range e.params {
			b = append(append(b, "; "...), p.name...)
			if p.hasValue {
				b = append(append(b, '='), p.value...)
			}
		}
	}
	return b
}

// parseExtensions parses the values of Sec-WebSocket-Extensions. It leaves out
// what does not follow the grammar of RFC 6455, 9.1; ok is then false:
//
//	extension-list  = 1#( extension-token *( ";" extension-param ) )
//	extension-param = token [ "=" (token | quoted-string) ]
//
// where "the value after quoted-string unescaping MUST conform to the 'token'
// ABNF". Elements of the list may be empty (RFC 9110, 5.6.1).
func parseExtensions(values []string) (list []extension, ok bool) {
	ok = true
	for _, v := range values {
		s := scanner{v}
		for s.element() {
			if e, good := s.extension(); good {
				list = append(list, e)
			} else {
				ok = false
				s.skipElement()
			}
		}
	}
	return list, ok
}

// extension takes an element of Sec-WebSocket-Extensions.
func (s *scanner) extension() (e extension, ok bool) {
	e.name = s.token()
	if e.name == "" {
		return e, false
	}
	for s.accept(';') {
		p := extensionParam{name: s.token()}
		if p.name == "" {
			return e, false
		}
		if p.hasValue = s.accept('='); p.hasValue {
			p.value = s.tokenOrQuoted()
			if p.value == "" {
				return e, false
			}
		}
		e.params = append(e.params, p)
	}
	return e, s.end()
}

// parseTokens parses the values of a header that is a list of tokens.
func parseTokens(values []string) (list []string, ok bool) {
	for _, v := range values {
		s := scanner{v}
		for s.element() {
			t := s.token()
			if t == "" || !s.end() {
				return nil, false
			}
			list = append(list, t)
		}
	}
	return list, true
}

// hasToken reports whether a header that is a list of tokens, over as many
// lines as it likes, holds token, in whatever case. It is lenient with the
// other elements, which are not for us.
func hasToken(values []string, token string) bool {
	for _, v := range values {
		for more := true; more; {
			var t string
			t, v, more = strings.Cut(v, ",")
			if equalFold(strings.Trim(t, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// equalFold compares s with an ASCII string in whatever ASCII case. The length
// keeps out what Unicode folds to ASCII, which is longer.
func equalFold(s, ascii string) bool {
	return len(s) == len(ascii) && strings.EqualFold(s, ascii)
}

// A scanner takes the elements of a header value off its front.
type scanner struct{ rest string }

func (s *scanner) space() { s.rest = strings.TrimLeft(s.rest, " \t") }

// accept takes c, with the space around it, if it is next.
func (s *scanner) accept(c byte) bool {
	s.space()
	if s.rest == "" || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	s.space()
	return true
}

// element goes to the next element of a list, if there is one.
func (s *scanner) element() bool {
	for s.accept(',') {
	}
	return s.rest != ""
}

// skipElement takes the rest of an element that went wrong: up to the next
// comma, a quoted string's own aside.
func (s *scanner) skipElement() {
	quoted := false
	for i := 0; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case !quoted && c == ',':
			s.rest = s.rest[i:]
			return
		}
	}
	s.rest = ""
}

// end reports whether an element ends here.
func (s *scanner) end() bool {
	s.space()
	return s.rest == "" || s.rest[0] == ','
}

// token takes a token, which is empty if none is next.
func (s *scanner) token() string {
	n := 0
	for n < len(s.rest) && isTokenByte(s.rest[n]) {
		n++
	}
	t := s.rest[:n]
	s.rest = s.rest[n:]
	return t
}

// tokenOrQuoted takes a token, quoted or not; it is empty if none is next.
func (s *scanner) tokenOrQuoted() string {
	if s.rest == "" || s.rest[0] != '"' {
		return s.token()
	}
	var t []byte
	for i := 1; i < len(s.rest); i++ {
		c := s.rest[i]
		if c == '"' {
			s.rest = s.rest[i+1:]
			return string(t)
		}
		if c == '\\' && i+1 < len(s.rest) {
			i++
			c = s.rest[i]
		}
		if !isTokenByte(c) {
			return ""
		}
		t = append(t, c)
	}
	return ""
}

func validToken(s string) bool {
	for i := range len(s) {
		if !isTokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

// isTokenByte reports whether c may stand in a token: RFC 9110, 5.6.2.
func isTokenByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

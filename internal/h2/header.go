package h2

import (
	"net/http"
	"strings"

	"github.com/bodokaiser/walve/internal/stream"
	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A block is a header that is coming in, as HEADERS and CONTINUATION frames.
type block struct {
	id     uint32
	end    bool // END_STREAM
	frames int  // CONTINUATION
	wire   int  // bytes, compressed
	size   int  // as RFC 9113, 6.5.2 counts it
	status string
	header http.Header
	wrong  string // why the stream must be reset
	plain  bool   // a field was seen that is not a pseudo-header field
}

func (in *inbound) initDecoder() {
	in.dec = hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		in.block.field(f)
		// What is dropped need not be put together.
		in.dec.SetEmitEnabled(in.block.wrong == "")
	})
	in.dec.SetMaxStringLength(maxHeaderList)
}

func (b *block) field(f hpack.HeaderField) {
	if b.size += int(f.Size()); b.size > maxHeaderList {
		b.fail("the header is too large")
		return
	}
	// RFC 9113, 8.2.1 and 8.2.2: what makes a message malformed.
	switch {
	case !httpguts.ValidHeaderFieldValue(f.Value):
		b.fail("a header field's value is not valid")
	case strings.HasPrefix(f.Name, ":"):
		// 8.3: "Pseudo-header fields MUST NOT appear in a trailer section", nor
		// behind others, nor twice, nor if they are not defined for a response.
		if f.Name != ":status" || b.plain || b.status != "" || len(f.Value) != 3 {
			b.fail("a pseudo-header field is not valid")
		}
		b.status = f.Value
	case !validName(f.Name) || connectionSpecific(f.Name):
		b.fail("a header field's name is not valid")
	default:
		b.plain = true
		if b.header == nil {
			b.header = make(http.Header, 8)
		}
		b.header.Add(f.Name, f.Value)
	}
}

func (b *block) fail(wrong string) {
	if b.wrong == "" {
		b.wrong = wrong
	}
	b.header = nil
}

// validName is 8.2.1: "A field name MUST NOT contain characters in the ranges
// 0x00-0x20, 0x41-0x5a, or 0x7f-0xff".
func validName(name string) bool {
	for i := range len(name) {
		if 'A' <= name[i] && name[i] <= 'Z' {
			return false
		}
	}
	return httpguts.ValidHeaderFieldName(name)
}

// connectionSpecific is 8.2.2: "An endpoint MUST NOT generate an HTTP/2 message
// containing connection-specific header fields. [...] Any message containing
// connection-specific header fields MUST be treated as malformed".
func connectionSpecific(name string) bool {
	switch name {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade", "te":
		return true
	}
	return false
}

func (c *Conn) beginHeader(f *http2.HeadersFrame) error {
	c.mu.Lock()
	_, err := c.knownLocked(f.StreamID)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	c.in.block = block{id: f.StreamID, end: f.StreamEnded()}
	c.in.dec.SetEmitEnabled(true)
	return c.fragment(f.HeaderBlockFragment(), f.HeadersEnded())
}

func (c *Conn) continueHeader(f *http2.ContinuationFrame) error {
	if c.in.block.frames++; c.in.block.frames > maxContinued {
		return connError(http2.ErrCodeEnhanceYourCalm, "too many CONTINUATION frames")
	}
	return c.fragment(f.HeaderBlockFragment(), f.HeadersEnded())
}

// fragment decodes a part of a header, also of one that nobody wants: RFC 9113,
// 4.3, the state of the compression is the connection's.
func (c *Conn) fragment(p []byte, last bool) error {
	b := &c.in.block
	if b.wire += len(p); b.wire > 2*maxHeaderList {
		return connError(http2.ErrCodeEnhanceYourCalm, "a header is far too large")
	}
	if _, err := c.in.dec.Write(p); err != nil {
		return connError(http2.ErrCodeCompression, err.Error())
	}
	if !last {
		return nil
	}
	// 4.3: "A decoding error in a field block MUST be treated as a connection
	// error of type COMPRESSION_ERROR."
	if err := c.in.dec.Close(); err != nil {
		return connError(http2.ErrCodeCompression, err.Error())
	}
	err := c.endHeader(b)
	*b = block{}
	return err
}

// endHeader acts on a header that is complete: RFC 9113, 8.1.
func (c *Conn) endHeader(b *block) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[b.id]
	if s == nil {
		return c.chatterLocked()
	}
	interim := strings.HasPrefix(b.status, "1")
	switch {
	case s.remoteEnded:
		s.resetLocked(http2.ErrCodeStreamClosed, "HEADERS behind END_STREAM")
	case b.wrong != "":
		s.resetLocked(http2.ErrCodeProtocol, b.wrong)
	case s.resp != nil && (b.status != "" || !b.end):
		s.resetLocked(http2.ErrCodeProtocol, "HEADERS inside a response")
	case s.resp != nil: // a trailer section, of no use
		s.remoteEndLocked()
	// "A response that contains a 101 status code [...] is malformed", 8.6, and
	// so is an interim response with END_STREAM, 8.1.
	case b.status == "" || !validStatus(b.status) || b.status == "101" || interim && b.end:
		s.resetLocked(http2.ErrCodeProtocol, "the status of the response is not valid")
	case interim:
		if s.interim++; s.interim > maxInterim {
			s.resetLocked(http2.ErrCodeEnhanceYourCalm, "too many interim responses")
		}
	default:
		if b.header == nil {
			b.header = make(http.Header)
		}
		status := int(b.status[0]-'0')*100 + int(b.status[1]-'0')*10 + int(b.status[2]-'0')
		s.resp = &Response{Status: status, Header: b.header}
		stream.Signal(s.rwake)
		if b.end {
			s.remoteEndLocked()
		}
	}
	return nil
}

func validStatus(s string) bool {
	return len(s) == 3 && '1' <= s[0] && s[0] <= '9' && '0' <= s[1] && s[1] <= '9' && '0' <= s[2] && s[2] <= '9'
}

package h2

import (
	"bytes"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A strictServer holds what a client sends to RFC 9113, and knows what the
// server may send.
type strictServer struct {
	*rawServer
	cfg Config // of the client
	dec *hpack.Decoder

	mu       sync.Mutex // guards the rest
	streams  map[uint32]*strictStream
	lastID   uint32
	allowed  int64           // what the client may send on all streams, from the first byte on
	received int64           // what it has
	window   int64           // what the server may send
	acked    limits          // those that hold
	pending  []limits        // sent and not acknowledged, the oldest first
	smaller  bool            // the table of HPACK was made smaller, which the next header has to begin with
	block    []byte          // a header that is coming in
	pings    int             // of the server, without an answer
	asked    int             // PINGs of the client
	codes    []http2.ErrCode // of the client's RST_STREAM and GOAWAY
	wrong    bool            // the server has broken the protocol
	over     bool            // the client has closed the connection
}

// limits are what the server's SETTINGS ask of the client. No frame may be over
// 16 KiB, whatever SETTINGS_MAX_FRAME_SIZE is: the client has no use for more.
type limits struct{ window, streams, table uint32 }

type strictStream struct {
	allowed         int64 // by WINDOW_UPDATE; see strictServer
	received        int64
	window          int64
	sent            int // bytes of payload to the client
	interim         int
	answered        bool // with a response that is not an interim one
	ended, reset    bool // by the client
	hasEnded, isOff bool // by the server, which may have reset it
}

func (s *strictStream) over() bool { return s.reset || s.isOff || s.ended && s.hasEnded }

func newStrict(s *rawServer, cfg Config) *strictServer {
	first := limits{minWindow, 1<<32 - 1, 4096}
	s.fr.SetMaxReadFrameSize(16 << 10)
	return &strictServer{
		rawServer: s, cfg: cfg.resolved(), dec: hpack.NewDecoder(4096, nil),
		streams: make(map[uint32]*strictStream),
		// The client's first WINDOW_UPDATE has not been read yet.
		allowed: minWindow, window: minWindow, acked: first, pending: []limits{first},
	}
}

// most returns the largest value of those that may hold for the client.
func (s *strictServer) most(value func(limits) uint32) int64 {
	m := value(s.acked)
	for _, p := range s.pending {
		m = max(m, value(p))
	}
	return int64(m)
}

// run reads until the client has closed the connection.
func (s *strictServer) run() {
	for {
		f, err := s.fr.ReadFrame()
		s.mu.Lock()
		if err != nil {
			s.over = true
			s.mu.Unlock()
			return // at the end, or because of what check sees
		}
		s.check(f)
		s.mu.Unlock()
	}
}

func (s *strictServer) check(f http2.Frame) {
	id := f.Header().StreamID
	st := s.streams[id]
	switch f.(type) {
	case *http2.HeadersFrame, *http2.ContinuationFrame:
	default:
		if id != 0 && (st == nil || st.reset) {
			s.t.Errorf("%v on a stream that is idle or was reset", f)
			return
		}
	}
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() || len(s.pending) == 0 {
			s.t.Errorf("%v, of %d to acknowledge", f, len(s.pending))
			return
		}
		old := s.acked
		s.acked, s.pending = s.pending[0], s.pending[1:]
		s.dec.SetAllowedMaxDynamicTableSize(s.acked.table)
		s.smaller = s.smaller || s.acked.table < min(old.table, 4096)
	case *http2.PingFrame:
		if !f.IsAck() {
			s.asked++
		} else if s.pings--; s.pings < 0 && !s.wrong {
			s.t.Error("an answer to no PING")
		}
	case *http2.WindowUpdateFrame:
		window, limit := &s.window, int64(s.cfg.connWindow())
		if st != nil {
			window, limit = &st.window, int64(s.cfg.Window)+max(int64(s.cfg.Window), minLent)
		}
		if *window += int64(f.Increment); *window > limit && !s.wrong {
			s.t.Errorf("%v makes the window %d, over %d", f, *window, limit)
		}
	case *http2.HeadersFrame:
		if id%2 == 0 || id <= s.lastID {
			s.t.Errorf("%v after stream %d", f, s.lastID)
		}
		open := int64(0)
		for _, st := range s.streams {
			if !st.over() {
				open++
			}
		}
		if limit := s.most(func(l limits) uint32 { return l.streams }); open >= limit && !s.wrong {
			s.t.Errorf("%v as one more than %d", f, limit)
		}
		s.lastID = id
		s.streams[id] = &strictStream{window: int64(s.cfg.Window)}
		s.header(f.HeaderBlockFragment(), f.HeadersEnded())
	case *http2.ContinuationFrame:
		s.header(f.HeaderBlockFragment(), f.HeadersEnded())
	case *http2.DataFrame:
		n := int64(len(f.Data()))
		if st.ended {
			s.t.Errorf("%v behind END_STREAM", f)
		}
		if !bytes.Equal(f.Data(), payloadAt(int(st.received), int(n))) {
			s.t.Errorf("%v has other bytes than were written", f)
		}
		st.received += n
		s.received += n
		limit := st.allowed + s.most(func(l limits) uint32 { return l.window })
		if n > 0 && (st.received > limit || s.received > s.allowed) {
			s.t.Errorf("%v: %d bytes, over %d on the stream, or %d, over %d on the connection",
				f, st.received, limit, s.received, s.allowed)
		}
		st.ended = f.StreamEnded()
	case *http2.RSTStreamFrame:
		st.reset = true
		s.codes = append(s.codes, f.ErrCode)
	case *http2.GoAwayFrame:
		s.codes = append(s.codes, f.ErrCode)
	default:
		s.t.Errorf("%v", f)
	}
}

func (s *strictServer) header(p []byte, last bool) {
	s.block = append(s.block, p...)
	if !last {
		return
	}
	// RFC 7541, 4.2: a smaller table "MUST be signaled by the encoder at the
	// beginning of the first header block following the acknowledgment".
	if s.smaller && s.block[0]&0xe0 != 0x20 {
		s.t.Error("a header does not begin with the new size of the table")
	}
	if _, err := s.dec.DecodeFull(s.block); err != nil {
		s.t.Error(err)
	}
	s.smaller, s.block = false, nil
}

// payloadAt returns bytes i to i+n of the payload that all streams have.
func payloadAt(i, n int) []byte {
	b := make([]byte, n)
	for j := range b {
		b[j] = byte((i + j) * 7)
	}
	return b
}

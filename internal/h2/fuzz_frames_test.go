package h2

import (
	"bytes"
	"context"
	"io"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/bodokaiser/walve/internal/stream"
)

// An end is the client's end of a stream.
type end struct {
	opening     <-chan opened
	s           *Stream // nil: not open yet
	wrote, read int     // bytes, of the payload that all streams have
	closed      bool
}

// A play has a server and the users of a client do what a script says.
type play struct {
	*testing.T
	server *strictServer
	c      *Conn
	ends   []*end
	ids    []uint32 // of server.streams
	away   uint32   // the last GOAWAY's
}

var (
	playSizes   = [...]int{0, 1, 100, 1500, 16 << 10, 70000}
	playUpdates = [...]uint32{1, 100, 20000, 1 << 20}
	playPauses  = [...]time.Duration{time.Millisecond, lendDelay, 20 * time.Second, 50 * time.Second}
	playValues  = map[http2.SettingID][4]uint32{
		// Package hpack writes two sizes when the table has been smaller in the
		// meantime, as it must, but reads them only if the smaller one is 0.
		http2.SettingHeaderTableSize:      {0, 0, 4096, 1 << 20},
		http2.SettingMaxConcurrentStreams: {0, 1, 2, 100},
		http2.SettingInitialWindowSize:    {0, 100, minWindow, 1 << 20},
		http2.SettingMaxFrameSize:         {16 << 10, 16<<10 + 1, 1 << 20, 1<<24 - 1},
	}
	playSettings = [...]http2.SettingID{
		http2.SettingHeaderTableSize, http2.SettingMaxConcurrentStreams,
		http2.SettingInitialWindowSize, http2.SettingMaxFrameSize,
	}
)

// pick returns the element of list that b stands for; the zero value if there
// is none.
func pick[T any](list []T, b byte) (v T) {
	if len(list) > 0 {
		v = list[int(b)%len(list)]
	}
	return v
}

// The steps of a script: what the users do, what the server does, time.
const (
	playOpen = iota
	playWrite
	playRead
	playReadBuffer
	playCloseWrite
	playClose
	playAbort
	playStall // or not: whether what the client writes gets through
	playHeaders
	playData
	playUpdate
	playSet
	playReset
	playGoAway
	playPing
	playWrong // a frame that is not allowed
	playPause
	playSteps
)

// step does what op says; which is about the stream, how about the rest.
func (p *play) step(op, which, how byte) {
	switch op %= playSteps; {
	case op == playPause:
		time.Sleep(pick(playPauses[:], how))
	case op < playHeaders:
		p.use(op, which, how)
	default:
		p.server.mu.Lock()
		p.serve(op, which, how)
		p.server.mu.Unlock()
	}
}

func (p *play) use(op, which, how byte) {
	e := pick(p.ends, which)
	if playWrite <= op && op <= playAbort && (e == nil || e.s == nil) {
		return
	}
	switch op {
	case playOpen:
		opening := make(chan opened, 1)
		p.ends = append(p.ends, &end{opening: opening})
		req := *request
		req.Path = "/" + strconv.Itoa(int(how)) // some go into the table of HPACK
		go func() {
			var o opened
			o.s, o.resp, o.err = p.c.Open(context.Background(), &req)
			opening <- o
			close(opening)
		}()
	case playWrite:
		e.s.SetWriteDeadline(time.Now().Add(time.Millisecond))
		n, _ := e.s.Write(payloadAt(e.wrote, pick(playSizes[:], how)))
		e.wrote += n
	case playRead:
		p.read(e, pick(playSizes[:], how), false)
	case playReadBuffer:
		p.read(e, 1, true)
	case playCloseWrite:
		e.s.CloseWrite()
	case playClose:
		e.s.Close()
		e.closed = true
	case playAbort:
		e.s.Abort()
		e.closed = true
	case playStall:
		limit := int64(how)
		if which%2 == 0 {
			limit = -1
		}
		p.c.nc.(interface{ SetWriteLimit(int64) }).SetWriteLimit(limit)
	}
}

func (p *play) serve(op, which, how byte) {
	s := p.server
	id := pick(p.ids, which)
	st := s.streams[id]
	if (op == playHeaders || op == playData || op == playReset) && (st == nil || st.isOff || st.hasEnded) {
		return
	}
	switch op {
	case playHeaders:
		p.headers(id, st, how)
	case playData:
		p.data(id, st, how)
	case playUpdate:
		n := pick(playUpdates[:], how)
		if st == nil || how >= 128 {
			s.allowed += int64(n)
			id = 0
		} else {
			st.allowed += int64(n)
		}
		s.fr.WriteWindowUpdate(id, n)
	case playSet:
		p.set(pick(playSettings[:], which), int(how)%4)
	case playReset:
		st.isOff = true
		s.fr.WriteRSTStream(id, http2.ErrCode(how%14))
	case playGoAway:
		if p.away == 0 || id < p.away {
			p.away = id
		}
		for id, st := range s.streams {
			st.isOff = st.isOff || id > p.away
		}
		s.fr.WriteGoAway(p.away, http2.ErrCode(how%14), nil)
	case playPing:
		s.pings++
		s.fr.WritePing(false, [8]byte{how})
	case playWrong:
		s.wrong = true
		if how%16 == byte(http2.FrameSettings) {
			how++ // check has to know of those
		}
		s.fr.WriteRawFrame(http2.FrameType(how%16), http2.Flags(which), id, make([]byte, how/16))
	}
}

// headers has the server send a response, an interim one, or what ends one.
func (p *play) headers(id uint32, st *strictStream, how byte) {
	s := p.server
	fields := []string{":status", "200", "how", strconv.Itoa(int(how))}
	end := how&1 != 0
	switch {
	case st.answered:
		fields, end = fields[2:], true
	case how&2 != 0 && st.interim < maxInterim:
		fields[1], end = "103", false
		st.interim++
	default:
		st.answered = true
	}
	st.hasEnded = end
	block := s.rawServer.block(fields...)
	cut := len(block)
	if how&4 != 0 {
		cut = int(how) % len(block)
	}
	param := http2.HeadersFrameParam{StreamID: id, EndStream: end, EndHeaders: cut == len(block), BlockFragment: block[:cut]}
	if how&8 != 0 {
		param.PadLength = how
	}
	s.fr.WriteHeaders(param)
	if cut < len(block) {
		s.fr.WriteContinuation(id, true, block[cut:])
	}
}

// data has the server send as much as it may, at most.
func (p *play) data(id uint32, st *strictStream, how byte) {
	s := p.server
	var pad []byte
	if how&64 != 0 {
		pad = make([]byte, how)
	}
	window := min(s.window, st.window, 16<<10) - int64(len(pad)) - 1
	if !st.answered || window < 0 {
		return
	}
	n := min(int(window), pick(playSizes[:], how&63))
	st.hasEnded = how&128 != 0
	frame := payloadAt(st.sent, n)
	st.sent += n
	cost := int64(n)
	if pad == nil {
		s.fr.WriteData(id, st.hasEnded, frame)
	} else {
		cost += int64(len(pad)) + 1
		s.fr.WriteDataPadded(id, st.hasEnded, frame, pad)
	}
	st.window -= cost
	s.window -= cost
}

func (p *play) set(id http2.SettingID, how int) {
	s := p.server
	v := playValues[id][how]
	next := s.acked
	if n := len(s.pending); n > 0 {
		next = s.pending[n-1]
	}
	switch id {
	case http2.SettingHeaderTableSize:
		next.table = v
	case http2.SettingMaxConcurrentStreams:
		next.streams = v
	case http2.SettingInitialWindowSize:
		next.window = v
	}
	s.pending = append(s.pending, next)
	s.fr.WriteSettings(http2.Setting{ID: id, Val: v})
}

// read reads what has come, at most n bytes, and returns how many that are.
func (p *play) read(e *end, n int, buffer bool) int {
	e.s.SetReadDeadline(time.Now().Add(time.Millisecond))
	b := make([]byte, n)
	var err error
	if buffer {
		var large *stream.Buffer
		if large, n, err = stream.ReadBuffer(e.s); n > 0 {
			defer stream.PutBuffer(large)
			b = large[:]
		}
	} else {
		n, err = e.s.Read(b)
	}
	if n > 0 && err != nil {
		p.Errorf("%d bytes and %v", n, err)
	}
	if !bytes.Equal(b[:n], payloadAt(e.read, n)) && !p.server.wrong {
		p.Error("a stream reads what was not sent")
	}
	e.read += n
	return n
}

// settle waits until everybody has done what there is to do.
func (p *play) settle() {
	synctest.Wait()
	s := p.server
	s.mu.Lock()
	for id := uint32(len(p.ids))*2 + 1; id <= s.lastID; id += 2 {
		p.ids = append(p.ids, id)
	}
	asked := s.asked
	s.asked = 0
	s.mu.Unlock()
	for range asked {
		s.fr.WritePing(true, [8]byte{})
	}
	for _, e := range p.ends {
		select {
		case o, ok := <-e.opening:
			if ok {
				e.s = o.s
			}
		default:
		}
	}
}

// finish looks at what must hold once the client could send and read
// everything, and ends the connection.
func (p *play) finish() {
	s := p.server
	p.c.nc.(interface{ SetWriteLimit(int64) }).SetWriteLimit(-1)
	p.settle()
	s.mu.Lock()
	alive, wrong := !s.over, s.wrong
	s.mu.Unlock()
	for _, e := range p.ends {
		for e.s != nil && p.read(e, 1<<20, false) > 0 {
		}
	}
	p.settle()
	s.mu.Lock()
	for _, code := range s.codes {
		if code != http2.ErrCodeNo && code != http2.ErrCodeCancel && !wrong {
			p.Errorf("the server has done nothing wrong and is told %v", code)
		}
	}
	if window := int64(s.cfg.connWindow()); alive && !wrong && s.window < window-window/4 {
		p.Errorf("the window of the connection is %d, of %d", s.window, window)
	}
	for _, e := range p.ends {
		if e.s == nil || !alive || wrong {
			continue
		}
		st := s.streams[e.s.id]
		if int(st.received) != e.wrote {
			p.Errorf("stream %d has written %d bytes, and %d have come", e.s.id, e.wrote, st.received)
		}
		if e.closed {
			continue
		}
		if st.sent != e.read {
			p.Errorf("stream %d has read %d bytes of %d", e.s.id, e.read, st.sent)
		}
		if window := int64(s.cfg.Window); !st.over() && !st.hasEnded && st.window < window-window/4 {
			p.Errorf("the window of stream %d is %d, of %d", e.s.id, st.window, window)
		}
	}
	s.mu.Unlock()
	s.c.CloseWrite()
	<-p.c.closed
	for _, e := range p.ends {
		if e.s == nil {
			<-e.opening
		} else if _, err := io.Copy(io.Discard, e.s); err == nil && !s.streams[e.s.id].hasEnded && !wrong {
			p.Error("io.EOF of a stream that the server has not ended")
		}
	}
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if len(p.c.streams) > 0 || !p.c.waiting.empty() {
		p.Error("something is left")
	}
}

// FuzzFrames has a server, whose frames are allowed but for playWrong, and the
// users of a client do what the fuzzer says, three bytes a step, and holds both
// sides of the client to what they promise.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{
		playOpen, 0, 0, playHeaders, 0, 0, playWrite, 0, 3, playData, 0, 3, playRead, 0, 2, playReadBuffer, 0, 0,
		playData, 0, 64 | 3, playRead, 0, 5, playCloseWrite, 0, 0, playData, 0, 128 | 2, playRead, 0, 5, playClose, 0, 0,
	})
	f.Add([]byte{ // windows, and a second of them
		playSet, 2, 1, playOpen, 0, 0, playOpen, 0, 1, playHeaders, 0, 6, playHeaders, 0, 0, playHeaders, 1, 12,
		playWrite, 0, 4, playUpdate, 0, 1, playWrite, 0, 4, playSet, 2, 3, playWrite, 0, 5, playWrite, 1, 4,
		playUpdate, 0, 128 + 3, playWrite, 1, 5, playData, 0, 4, playData, 0, 4, playData, 0, 4,
		playSet, 2, 0, playWrite, 0, 1, playPause, 1, 1, playData, 0, 4, playWrite, 0, 1, playRead, 0, 5,
	})
	f.Add([]byte{ // what is queued while SETTINGS come
		playOpen, 0, 0, playOpen, 0, 0, playHeaders, 0, 0, playStall, 1, 0, playWrite, 0, 1, playWrite, 0, 2,
		playOpen, 0, 1, playSet, 2, 0, playSet, 0, 0, playPing, 0, 0, playStall, 0, 0, playSet, 0, 2, playOpen, 0, 0,
	})
	f.Add([]byte{ // ends
		playOpen, 0, 0, playOpen, 0, 1, playOpen, 0, 2, playHeaders, 0, 0, playHeaders, 1, 0, playHeaders, 2, 1,
		playReset, 0, 7, playAbort, 1, 0, playData, 1, 2, playGoAway, 1, 0, playOpen, 0, 0, playClose, 2, 0,
		playPause, 0, 2, playPause, 0, 3,
	})
	f.Add([]byte{ // a client that is not heard
		playOpen, 0, 0, playHeaders, 0, 0, playPause, 0, 2, playPause, 0, 2, playStall, 1, 0, playPause, 0, 3, playPause, 0, 3,
	})
	f.Add(append([]byte{playOpen, 0, 0, playHeaders, 0, 0}, // more than the window, padded
		bytes.Repeat([]byte{playData, 0, 64 | 61, playPing, 0, 0, playRead, 0, 5}, 30)...))
	f.Add([]byte{ // one stream at a time
		playSet, 1, 1, playOpen, 0, 0, playOpen, 0, 0, playHeaders, 0, 0, playClose, 0, 0, playOpen, 0, 0, playOpen, 0, 0,
	})
	f.Add([]byte{playOpen, 0, 0, playHeaders, 0, 0, playWrong, 0, 5, playRead, 0, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 3*maxSettings {
			t.Skip("more could be over the limits of what is no attack")
		}
		cfg := Config{Window: 4 << 10}
		synctest.Test(t, func(t *testing.T) {
			raw, c := begin(t, cfg)
			defer raw.c.Close()
			p := &play{T: t, server: newStrict(raw, cfg), c: c}
			go p.server.run()
			p.settle()
			for ; len(script) >= 3; script = script[3:] {
				p.step(script[0], script[1], script[2])
				p.settle()
			}
			p.finish()
		})
	})
}

package interop_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/bodokaiser/walve"
)

// An actor plays one side of a script. send and receive are called by two
// goroutines; receive returns when the closing handshake is over, and close
// after the last send.
type actor interface {
	send(m message) error
	receive(r *record) error
	close(code int, reason string) error
	seesReply() bool // receive goes on to the reply behind close
}

// A walveActor uses NextWriter, WriteMessage, Ping and ReadMessage.
type walveActor struct {
	c     *walve.Conn
	pongs atomic.Int32
	half  bool // closed by CloseWrite
}

func (a *walveActor) send(m message) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	ping := func(n int) error {
		for range n {
			if err := a.c.Ping(ctx); err != nil {
				return err
			}
			a.pongs.Add(1)
		}
		return nil
	}
	if len(m.parts) == 1 && m.pings[0] == 0 {
		if err := a.c.WriteMessage(walve.Opcode(m.op), m.parts[0]); err != nil {
			return err
		}
		return ping(m.pings[1])
	}
	op := walve.Opcode(m.op)
	for i, p := range m.parts {
		if err := ping(m.pings[i]); err != nil {
			return err
		}
		w, err := a.c.NextWriter(walve.Header{Fin: i == len(m.parts)-1, Opcode: op, Length: int64(len(p))})
		if err != nil {
			return err
		}
		if _, err := w.Write(p); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		op = walve.OpContinuation
	}
	return ping(m.pings[len(m.parts)])
}

func (a *walveActor) receive(r *record) error {
	for {
		op, p, err := a.c.ReadMessage()
		if err != nil {
			r.pongs = int(a.pongs.Load())
			code, reason, ok := a.c.CloseStatus()
			r.code, r.reason, r.closed = int(code), reason, ok
			var ce *walve.CloseError
			if err == io.EOF || errors.As(err, &ce) || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		r.message(byte(op), p)
	}
}

func (a *walveActor) close(code int, reason string) error {
	if a.half = code == 1000 && reason == ""; a.half {
		return a.c.CloseWrite()
	}
	return a.c.CloseWithStatus(walve.StatusCode(code), reason)
}

func (a *walveActor) seesReply() bool { return a.half }

// A gorillaActor uses NextWriter, WriteControl and ReadMessage; its frames are
// as large as its buffer.
type gorillaActor struct {
	c *websocket.Conn
}

func (a *gorillaActor) send(m message) error {
	w, err := a.c.NextWriter(int(m.op))
	if err != nil {
		return err
	}
	ping := func(n int) error {
		for range n {
			if err := a.c.WriteControl(websocket.PingMessage, []byte("?"), time.Now().Add(limit)); err != nil {
				return err
			}
		}
		return nil
	}
	for i, p := range m.parts {
		if err := ping(m.pings[i]); err != nil {
			return err
		}
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return ping(m.pings[len(m.parts)])
}

func (a *gorillaActor) receive(r *record) error {
	a.c.SetPongHandler(func(string) error { r.pong(); return nil })
	for {
		op, p, err := a.c.ReadMessage()
		if err != nil {
			var ce *websocket.CloseError
			if !errors.As(err, &ce) {
				return err
			}
			r.code, r.reason, r.closed = ce.Code, ce.Text, ce.Code != websocket.CloseAbnormalClosure
			return nil
		}
		r.message(byte(op), p)
	}
}

func (a *gorillaActor) close(code int, reason string) error {
	return a.c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(limit))
}

func (a *gorillaActor) seesReply() bool { return true }

// A frameActor plays with walve's FrameReader and FrameWriter on the bare
// connection: its frames are exactly those of the script.
type frameActor struct {
	fr     *walve.FrameReader
	client bool

	mu     sync.Mutex // guards what follows
	fw     *walve.FrameWriter
	closed bool // a Close frame was sent
}

func newFrameActor(nc net.Conn, in *bufio.Reader, client bool) *frameActor {
	return &frameActor{fr: walve.NewFrameReader(in), client: client, fw: walve.NewFrameWriter(nc)}
}

func (a *frameActor) frame(op walve.Opcode, fin bool, p []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil
	}
	a.closed = op == walve.OpClose
	h := walve.Header{Fin: fin, Opcode: op, Length: int64(len(p)), Masked: a.client}
	if h.Masked {
		rand.Read(h.MaskKey[:])
	}
	return a.fw.WriteFrame(h, p)
}

func (a *frameActor) send(m message) error {
	op := walve.Opcode(m.op)
	for i := range m.pings {
		for range m.pings[i] {
			if err := a.frame(walve.OpPing, true, []byte("!")); err != nil {
				return err
			}
		}
		if i == len(m.parts) {
			break
		}
		if err := a.frame(op, i == len(m.parts)-1, m.parts[i]); err != nil {
			return err
		}
		op = walve.OpContinuation
	}
	return nil
}

func (a *frameActor) receive(r *record) error {
	var op walve.Opcode
	var got []byte
	for {
		h, err := a.fr.Next()
		if err != nil {
			return err
		}
		p, err := io.ReadAll(a.fr)
		if err != nil {
			return err
		}
		switch h.Opcode {
		case walve.OpPing:
			err = a.frame(walve.OpPong, true, p)
		case walve.OpPong:
			r.pong()
		case walve.OpClose:
			if r.closed = true; len(p) >= 2 {
				r.code, r.reason = int(binary.BigEndian.Uint16(p)), string(p[2:])
			}
			return a.frame(walve.OpClose, true, p[:min(len(p), 2)]) // unless this is the reply
		default:
			if h.Opcode != walve.OpContinuation {
				op = h.Opcode
			}
			if got = append(got, p...); h.Fin {
				r.message(byte(op), got)
				got = nil
			}
		}
		if err != nil {
			return err
		}
	}
}

func (a *frameActor) close(code int, reason string) error {
	return a.frame(walve.OpClose, true, closing(code, reason).payload)
}

func (a *frameActor) seesReply() bool { return true }

// A cast makes actors of one kind by an opening handshake.
type cast struct {
	name    string
	dial    func(net.Conn, script) (actor, error)
	upgrade func(http.ResponseWriter, *http.Request, script) (actor, error)
}

var casts = []cast{
	{"walve",
		func(nc net.Conn, _ script) (actor, error) {
			c, err := handshake{}.dialWalve(nc)
			return &walveActor{c: c}, err
		},
		func(w http.ResponseWriter, r *http.Request, _ script) (actor, error) {
			c, err := handshake{}.upgradeWalve(w, r)
			return &walveActor{c: c}, err
		}},
	{"gorilla",
		func(nc net.Conn, s script) (actor, error) {
			c, err := handshake{fragments: s.fragments}.dialGorilla(nc)
			return &gorillaActor{c: c}, err
		},
		func(w http.ResponseWriter, r *http.Request, s script) (actor, error) {
			c, err := handshake{fragments: s.fragments}.upgradeGorilla(w, r)
			return &gorillaActor{c: c}, err
		}},
	{"frames",
		func(nc net.Conn, _ script) (actor, error) {
			p := &rawPeer{conn: nc}
			err := p.shakeHands()
			return newFrameActor(nc, p.in, true), err
		},
		func(w http.ResponseWriter, r *http.Request, _ script) (actor, error) {
			nc, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return nil, err
			}
			return newFrameActor(nc, rw.Reader, false), answerHandshake(nc, r, "")
		}},
}

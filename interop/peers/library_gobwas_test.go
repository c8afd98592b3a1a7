package peers_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/bodokaiser/walve"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

var gobwasLibrary = library{
	name: "gobwas",
	dial: func(ctx context.Context, url string, config *tls.Config) (end, error) {
		nc, br, _, err := ws.Dialer{TLSConfig: config}.Dial(ctx, url)
		if err != nil {
			return nil, err
		}
		if br == nil { // nothing came behind the response
			br = bufio.NewReader(nc)
		}
		return newGobwasEnd(nc, br, ws.StateClientSide), nil
	},
	upgrade: func(w http.ResponseWriter, r *http.Request) (end, error) {
		nc, rw, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return nil, err
		}
		return newGobwasEnd(nc, rw.Reader, ws.StateServerSide), nil
	},
	checksText: true,
}

type gobwasEnd struct {
	net.Conn
	br    *bufio.Reader
	state ws.State
	read  chan event
	pongs chan struct{}
	mu    *sync.Mutex // held by who writes
}

func newGobwasEnd(nc net.Conn, br *bufio.Reader, state ws.State) gobwasEnd {
	e := gobwasEnd{nc, br, state, make(chan event, 100), make(chan struct{}, 1), new(sync.Mutex)}
	go e.readAll()
	return e
}

func (e gobwasEnd) readAll() {
	for {
		op, p, err := e.message()
		var closed wsutil.ClosedError
		if errors.As(err, &closed) {
			err = &walve.CloseError{Code: walve.StatusCode(closed.Code), Reason: closed.Reason}
		}
		if errors.Is(err, wsutil.ErrInvalidUTF8) {
			e.close(walve.StatusInvalidFramePayloadData, "")
		}
		e.read <- event{walve.Opcode(op), p, err}
		if err != nil {
			return
		}
	}
}

// message is wsutil's readData, with the Pongs seen and the writes in turn.
func (e gobwasEnd) message() (ws.OpCode, []byte, error) {
	control := func(h ws.Header, r io.Reader) error {
		if h.OpCode == ws.OpPong {
			e.pongs <- struct{}{}
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		return wsutil.ControlFrameHandler(e.Conn, e.state)(h, r)
	}
	rd := wsutil.Reader{Source: e.br, State: e.state, CheckUTF8: true, OnIntermediate: control}
	for {
		h, err := rd.NextFrame()
		if err != nil {
			return 0, nil, err
		}
		if h.OpCode.IsControl() {
			if err := control(h, &rd); err != nil {
				return 0, nil, err
			}
			continue
		}
		p, err := io.ReadAll(&rd)
		return h.OpCode, p, err
	}
}

func (e gobwasEnd) events() <-chan event { return e.read }

func (e gobwasEnd) send(op walve.Opcode, p []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return wsutil.WriteMessage(e.Conn, e.state, ws.OpCode(op), p)
}

func (e gobwasEnd) sendFragments(op walve.Opcode, parts ...[]byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := wsutil.NewWriter(e.Conn, e.state, ws.OpCode(op))
	for _, p := range parts {
		if _, err := w.Write(p); err != nil {
			return err
		}
		if err := w.FlushFragment(); err != nil {
			return err
		}
	}
	return w.Flush()
}

func (e gobwasEnd) control(op ws.OpCode, p []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return wsutil.WriteMessage(e.Conn, e.state, op, p)
}

func (e gobwasEnd) ping(ctx context.Context) error {
	if err := e.control(ws.OpPing, []byte("are you there?")); err != nil {
		return err
	}
	select {
	case <-e.pongs:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e gobwasEnd) close(code walve.StatusCode, reason string) error {
	return e.control(ws.OpClose, ws.NewCloseFrameBody(ws.StatusCode(code), reason))
}

func (e gobwasEnd) release() { e.Conn.Close() }

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// processEnv says in the environment of this program's own child processes
// which role they have.
const processEnv = "WALVE_BENCH_PROCESS"

// request is what the parent asks of a child process, one JSON value a line.
type request struct {
	Op string `json:"op"` // start, run, poke or usage

	Peer  string `json:"peer,omitempty"` // of start
	Work  Work   `json:"work,omitzero"`
	Addr  string `json:"addr,omitempty"` // of the client's start, as the server's reply has them
	Relay string `json:"relay,omitempty"`
	Cert  []byte `json:"cert,omitempty"`

	N      int64 `json:"n,omitempty"`      // of run
	Answer bool  `json:"answer,omitempty"` // of poke
	Settle bool  `json:"settle,omitempty"` // of usage
}

// reply is the answer to a request.
type reply struct {
	Error string `json:"error,omitempty"`

	Addr  string `json:"addr,omitempty"`
	Relay string `json:"relay,omitempty"`
	Cert  []byte `json:"cert,omitempty"`

	Elapsed time.Duration `json:"elapsed,omitempty"` // of run
	Usage   Usage         `json:"usage,omitzero"`
}

// childMain is the main function of a child process. It ends when the parent
// closes its standard input, or has died.
func childMain(role Role) {
	out := os.Stdout
	os.Stdout = os.Stderr // what a library prints is no reply
	in, w := io.Pipe()
	go func() {
		io.Copy(w, os.Stdin)
		w.Close()
		time.Sleep(exitTime) // an operation that hangs does not outlive the parent
		os.Exit(1)
	}()
	if err := runChild(role, in, out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// runChild answers the requests that come in until they end.
func runChild(role Role, in io.Reader, out io.Writer) error {
	var p process
	if role == AsServer {
		p = &serverProcess{}
	} else {
		p = &clientProcess{}
	}
	defer p.close()
	dec, enc := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var req request
		if err := dec.Decode(&req); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: request: %w", role, err)
		}
		rep, err := answer(p, req)
		if err != nil {
			rep.Error = err.Error()
		}
		if err := enc.Encode(rep); err != nil {
			return fmt.Errorf("%s: reply: %w", role, err)
		}
	}
}

// process is one side of a trial.
type process interface {
	start(peer *Peer, req request) (reply, error)
	run(n int64) (time.Duration, error)
	poke(answer bool) error
	failure() error
	close()
}

func answer(p process, req request) (rep reply, err error) {
	switch req.Op {
	case "start":
		peer := peerNamed(req.Peer)
		if peer == nil {
			return rep, fmt.Errorf("there is no peer %q", req.Peer)
		}
		return p.start(peer, req)
	case "run":
		rep.Elapsed, err = p.run(req.N)
	case "poke":
		err = p.poke(req.Answer)
	case "usage":
		if rep.Usage, err = readUsage(req.Settle); err == nil {
			err = p.failure()
		}
	default:
		err = fmt.Errorf("there is no operation %q", req.Op)
	}
	return rep, err
}

type serverProcess struct{ s *Server }

func (p *serverProcess) start(peer *Peer, req request) (rep reply, err error) {
	if p.s, err = startServer(peer, req.Work); err != nil {
		return rep, err
	}
	rep.Addr = p.s.ln.Addr().String()
	if p.s.upstream != nil {
		rep.Relay = p.s.upstream.Addr().String()
	}
	if p.s.Cert != nil {
		rep.Cert = p.s.Cert.Cert
	}
	return rep, nil
}

func (p *serverProcess) run(n int64) (time.Duration, error) { return p.s.Run(n) }
func (p *serverProcess) poke(bool) error                    { return nil }
func (p *serverProcess) failure() error                     { return p.s.Failure() }

func (p *serverProcess) close() {
	if p.s != nil {
		p.s.Close()
	}
}

type clientProcess struct{ c *Client }

func (p *clientProcess) start(peer *Peer, req request) (rep reply, err error) {
	c := &Client{Work: req.Work, Addr: req.Addr, Relay: req.Relay, peer: peer}
	if req.Work.TLS {
		if c.TLS, err = clientTLS(req.Cert); err != nil {
			return rep, err
		}
	}
	p.c = c
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	return rep, startClient(ctx, c)
}

// dialTimeout bounds a dial; the whole of an operation is bounded by the
// parent.
const dialTimeout = 10 * time.Second

func (p *clientProcess) run(n int64) (time.Duration, error) {
	return p.c.Run(context.Background(), n)
}

func (p *clientProcess) poke(answer bool) error { return p.c.Poke(answer) }
func (p *clientProcess) failure() error         { return nil }

func (p *clientProcess) close() {
	if p.c != nil {
		p.c.Close()
	}
}

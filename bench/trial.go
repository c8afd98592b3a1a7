package main

import (
	"context"
	"errors"
	"time"
)

// trial puts peer to the work of s once, in two fresh processes.
func (r *runner) trial(ctx context.Context, s *Scenario, peer *Peer) (m *Measurement, err error) {
	t := &pair{work: s.Work}
	defer func() { err = errors.Join(err, t.close()) }()
	if t.server, err = r.launch(AsServer, r.timeout); err != nil {
		return nil, err
	}
	if t.client, err = r.launch(AsClient, r.timeout); err != nil {
		return nil, err
	}
	started, err := t.server.call(ctx, request{Op: "start", Peer: peer.Name, Work: s.Work})
	if err != nil {
		return nil, err
	}
	_, err = t.client.call(ctx, request{
		Op: "start", Peer: peer.Name, Work: s.Work, Addr: started.Addr, Relay: started.Relay, Cert: started.Cert,
	})
	if err != nil {
		return nil, t.blame(err)
	}
	if s.Work.Kind == Idle {
		return t.idle(ctx, s)
	}

	warm, err := t.run(ctx, s.whole(s.Warm))
	if err != nil {
		return nil, err
	}
	m = &Measurement{N: s.amount(warm, r.scale.time)}
	server, client, err := t.usage(ctx, false)
	if err != nil {
		return nil, err
	}
	if m.Elapsed, err = t.run(ctx, m.N); err != nil {
		return nil, err
	}
	if m.Server, m.Client, err = t.usage(ctx, false); err != nil {
		return nil, err
	}
	m.Server, m.Client = m.Server.since(server), m.Client.since(client)
	return m, nil
}

// maxHandshakes keeps the ports from being used up.
const maxHandshakes = 20000

// amount is how many operations take about d, when s.Warm took warm.
func (s *Scenario) amount(warm, d time.Duration) int64 {
	if s.Fixed != 0 {
		return s.Fixed
	}
	n := s.Warm
	if warm > 0 {
		n = max(n, int64(float64(s.Warm)*float64(d)/float64(warm)))
	}
	if s.Work.Kind == Handshake {
		n = min(n, maxHandshakes)
	}
	return s.whole(n)
}

// whole rounds n up to what can be done: whole messages, as many on each
// connection.
func (s *Scenario) whole(n int64) int64 {
	unit := int64(1)
	switch s.Work.Kind {
	case Echo:
		unit = int64(s.Work.Conns * s.Work.Depth)
	case Download, Upload, Relay:
		unit = int64(s.Work.Size)
	}
	return (n + unit - 1) / unit * unit
}

// pair is the two processes of a trial.
type pair struct {
	work           Work
	server, client *worker
}

// run has n operations done and returns how long they took. Bytes are expected
// before they are sent.
func (t *pair) run(ctx context.Context, n int64) (time.Duration, error) {
	req := request{Op: "run", N: n}
	if t.work.Kind == Upload {
		return t.both(ctx, t.server, req, t.client, req)
	}
	return t.both(ctx, t.client, req, t.server, req)
}

// both has the two processes work at the same time, and returns how long the
// slower one took: the other may have found its work done when it began.
func (t *pair) both(ctx context.Context, first *worker, a request, second *worker, b request) (time.Duration, error) {
	if err := first.send(a); err != nil {
		return 0, err
	}
	if err := second.send(b); err != nil {
		return 0, err
	}
	type result struct {
		worker *worker
		reply
		err error
	}
	results := make(chan result, 2)
	wait := func(w *worker, op string) {
		rep, err := w.receive(ctx, op)
		results <- result{w, rep, err}
	}
	go wait(first, a.Op)
	go wait(second, b.Op)
	var elapsed time.Duration
	var errs []error
	var grace <-chan time.Time // when one has failed, the other may know why
	pending := true            // the server is still at it
	for range 2 {
		select {
		case res := <-results:
			if res.worker == t.server {
				pending = false
			}
			elapsed = max(elapsed, res.Elapsed)
			if res.err != nil {
				errs = append(errs, res.err)
				grace = time.After(time.Second)
			}
		case <-grace:
		}
	}
	err := errors.Join(errs...)
	if err != nil && !pending {
		err = t.blame(err)
	}
	return elapsed, err
}

func (t *pair) usage(ctx context.Context, settle bool) (server, client Usage, err error) {
	rep, err := t.server.call(ctx, request{Op: "usage", Settle: settle})
	if err != nil {
		return server, client, err
	}
	server = rep.Usage
	rep, err = t.client.call(ctx, request{Op: "usage"})
	return server, rep.Usage, err
}

// blame adds to err what the server has met, which may be its cause. The
// server must not be at work.
func (t *pair) blame(err error) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, serr := t.server.call(ctx, request{Op: "usage"}); serr != nil && ctx.Err() == nil {
		return errors.Join(err, serr)
	}
	return err
}

// idle measures what connections hold: fresh, after each has received a
// message, and after each has received one and answered it.
func (t *pair) idle(ctx context.Context, s *Scenario) (*Measurement, error) {
	// What is made once, for all connections, is made by the first.
	if _, err := t.run(ctx, s.Warm); err != nil {
		return nil, err
	}
	for _, answer := range []bool{false, true} {
		if err := t.poke(ctx, s.Warm, answer); err != nil {
			return nil, err
		}
	}
	before, _, err := t.usage(ctx, true)
	if err != nil {
		return nil, err
	}
	m := &Measurement{N: s.Fixed}
	if _, err := t.run(ctx, m.N); err != nil {
		return nil, err
	}
	if m.Fresh, err = t.held(ctx, before); err != nil {
		return nil, err
	}
	if err := t.poke(ctx, s.Warm+m.N, false); err != nil {
		return nil, err
	}
	if m.After, err = t.held(ctx, before); err != nil {
		return nil, err
	}
	if err := t.poke(ctx, s.Warm+m.N, true); err != nil {
		return nil, err
	}
	m.Answered, err = t.held(ctx, before)
	return m, err
}

// poke sends a message on each of the n connections.
func (t *pair) poke(ctx context.Context, n int64, answer bool) error {
	_, err := t.both(ctx, t.server, request{Op: "run", N: n}, t.client, request{Op: "poke", Answer: answer})
	return err
}

// held is what the server holds in addition to before.
func (t *pair) held(ctx context.Context, before Usage) (Usage, error) {
	now, _, err := t.usage(ctx, true)
	return now.since(before), err
}

// close ends both processes, the client's first, so that connections end by
// resets.
func (t *pair) close() error {
	var errs []error
	for _, w := range []*worker{t.client, t.server} {
		if w != nil {
			errs = append(errs, w.close())
		}
	}
	return errors.Join(errs...)
}

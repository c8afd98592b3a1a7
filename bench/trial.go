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

	warm, err := t.run(ctx, s.Warm)
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

// run has n operations done and returns how long they took the side that
// knows when the last is over. The bytes are expected before they are sent.
func (t *pair) run(ctx context.Context, n int64) (time.Duration, error) {
	first, second := t.client, t.server
	if t.work.Kind == Upload {
		first, second = second, first
	}
	req := request{Op: "run", N: n}
	if err := first.send(req); err != nil {
		return 0, err
	}
	if err := second.send(req); err != nil {
		return 0, err
	}
	type result struct {
		worker *worker
		reply
		err error
	}
	results := make(chan result, 2)
	for _, w := range []*worker{first, second} {
		go func() {
			rep, err := w.receive(ctx, "run")
			results <- result{w, rep, err}
		}()
	}
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
			if res.worker == first {
				elapsed = res.Elapsed
			}
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

// idle measures what connections hold.
func (t *pair) idle(ctx context.Context, s *Scenario) (*Measurement, error) {
	// What is made once, for all connections, is made by the first.
	if _, err := t.run(ctx, s.Warm); err != nil {
		return nil, err
	}
	if _, err := t.client.call(ctx, request{Op: "poke"}); err != nil {
		return nil, t.blame(err)
	}
	before, _, err := t.usage(ctx, true)
	if err != nil {
		return nil, err
	}
	m := &Measurement{N: s.Fixed}
	if _, err := t.run(ctx, m.N); err != nil {
		return nil, err
	}
	if m.Fresh, _, err = t.usage(ctx, true); err != nil {
		return nil, err
	}
	m.Fresh = m.Fresh.since(before)
	if _, err := t.client.call(ctx, request{Op: "poke"}); err != nil {
		return nil, t.blame(err)
	}
	if m.After, _, err = t.usage(ctx, true); err != nil {
		return nil, err
	}
	m.After = m.After.since(before)
	return m, nil
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

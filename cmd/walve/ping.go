package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/bodokaiser/walve"
)

const pingUsage = `
walve ping measures round trips to a WebSocket server with Ping frames, as ping(8)
does with ICMP. The server needs to do nothing for it: RFC 6455 has everyone
answer. What the server sends meanwhile is thrown away.

Usage:

    walve ping [flags] URL

^C ends it. The exit code is 0 if there was an answer at all.

Examples:

    walve ping wss://host/chat
    walve ping -c 3 -i 200ms ws://127.0.0.1:8080/ssh
`

func runPing(e *env, args []string) error {
	var cf clientFlags
	var count int
	var interval, wait time.Duration
	fs := flag.NewFlagSet("ping", flag.ContinueOnError)
	cf.register(fs)
	fs.IntVar(&count, "c", 0, "the `number` of Pings to send (default: until ^C)")
	fs.DurationVar(&interval, "i", time.Second, "the `time` between two Pings")
	fs.DurationVar(&wait, "W", 10*time.Second, "the `time` to wait for an answer")
	if err := e.parse(fs, args); err != nil {
		return err
	}
	if fs.NArg() != 1 {
		return usagef("ping takes one URL, behind the flags, for example: walve ping wss://host/path")
	}
	c, err := cf.client(fs.Arg(0))
	if err != nil {
		return err
	}
	start := time.Now()
	ws, err := c.dial(e.stop)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "PING %s (%s): connected in %s\n", redacted(c.dialer.URL), ws.RemoteAddr(), formatMillis(time.Since(start)))
	p := &pinger{ws: ws, out: e.stdout, wait: wait}
	err = p.run(e.stop, count, interval)
	p.summary(redacted(c.dialer.URL))
	ws.Close() // nothing was sent that could be lost: no reason to wait for a server that is dead
	if p.got > 0 {
		if err != nil {
			fmt.Fprintf(e.stderr, "walve ping: %s\n", message(err))
		}
		return nil
	}
	if err == nil {
		err = errors.New("no answer")
	}
	return err
}

// A pinger sends Pings and keeps the statistics.
type pinger struct {
	ws   *walve.Conn
	out  io.Writer
	wait time.Duration

	sent, got       int
	sum, squares    float64 // of milliseconds
	lowest, highest float64
}

// run returns nil after count Pings or ^C, or the end of the connection.
func (p *pinger) run(stop context.Context, count int, interval time.Duration) error {
	ended := make(chan error, 1)
	go func() {
		// Pongs are seen while something reads.
		_, err := io.Copy(io.Discard, p.ws)
		ended <- err
	}()
	tick := time.NewTicker(max(interval, time.Millisecond))
	defer tick.Stop()
	for seq := 1; ; seq++ {
		err := p.ping(stop, seq)
		if stop.Err() != nil {
			return nil
		}
		if err != nil {
			if err = <-ended; err == nil {
				err = errors.New("the server has closed the connection")
			}
			return err
		}
		if seq == count {
			return nil
		}
		select {
		case <-tick.C:
		case <-stop.Done():
			return nil
		}
	}
}

// ping fails only if the connection has.
func (p *pinger) ping(stop context.Context, seq int) error {
	ctx, cancel := context.WithTimeout(stop, p.wait)
	defer cancel()
	start := time.Now()
	err := p.ws.Ping(ctx)
	took := time.Since(start)
	if stop.Err() != nil {
		return nil // a Ping that the user did not wait for is not lost
	}
	p.sent++
	switch {
	case err == nil:
		p.note(took)
		fmt.Fprintf(p.out, "pong from %s: seq=%d time=%s\n", p.ws.RemoteAddr(), seq, formatMillis(took))
	case ctx.Err() != nil:
		fmt.Fprintf(p.out, "no pong from %s: seq=%d after %s\n", p.ws.RemoteAddr(), seq, p.wait)
		err = nil
	}
	return err
}

func (p *pinger) note(took time.Duration) {
	ms := float64(took) / float64(time.Millisecond)
	if p.got == 0 || ms < p.lowest {
		p.lowest = ms
	}
	p.highest = max(p.highest, ms)
	p.sum += ms
	p.squares += ms * ms
	p.got++
}

func (p *pinger) summary(url string) {
	lost := 0
	if p.sent > 0 {
		lost = 100 * (p.sent - p.got) / p.sent
	}
	fmt.Fprintf(p.out, "\n--- %s ping statistics ---\n%d pings sent, %d pongs received, %d%% lost\n", url, p.sent, p.got, lost)
	if p.got > 0 {
		mean := p.sum / float64(p.got)
		deviation := math.Sqrt(max(0, p.squares/float64(p.got)-mean*mean))
		fmt.Fprintf(p.out, "round trip min/avg/max/mdev = %.3f/%.3f/%.3f/%.3f ms\n", p.lowest, mean, p.highest, deviation)
	}
}

func formatMillis(d time.Duration) string {
	return fmt.Sprintf("%.3f ms", float64(d)/float64(time.Millisecond))
}

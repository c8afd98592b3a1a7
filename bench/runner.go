package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// runner runs scenarios and prints as it goes.
type runner struct {
	scale    scale
	reps     int
	timeout  time.Duration // of one step of a trial
	run      *regexp.Regexp
	peers    *regexp.Regexp
	launch   launcher
	out      io.Writer // tables
	progress io.Writer // what is going on
	dir      string    // for the file
}

// selected returns the scenarios that run matches.
func (r *runner) selected() []*Scenario {
	var all []*Scenario
	for _, s := range scenarios(r.scale) {
		if r.run.MatchString(s.Name) {
			all = append(all, s)
		}
	}
	return all
}

// all runs the scenarios that are selected. When ctx ends it returns what there
// is.
func (r *runner) all(ctx context.Context) ([]*Result, error) {
	var results []*Result
	for _, s := range r.selected() {
		res, err := r.scenario(ctx, s)
		if res != nil {
			res.compute()
			results = append(results, res)
			writeTable(r.out, res)
		}
		if err != nil {
			return results, err
		}
	}
	return results, nil
}

// scenario has the peers take turns, A B C A B C, so that what the machine
// does meanwhile meets all of them.
func (r *runner) scenario(ctx context.Context, s *Scenario) (*Result, error) {
	if s.Work.Kind == Idle {
		if err := needFiles(int(s.Fixed+s.Warm) + 50); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	if s.Work.Kind == File {
		path, err := makeFile(r.dir, s.Fixed)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		defer os.Remove(path)
		s.Work.Path = path
	}
	res := &Result{Scenario: s}
	for _, p := range peers {
		meant, lacks := p.takesPart(s.Work)
		switch {
		case !meant || !p.Raw && !r.peers.MatchString(p.Name):
		case lacks != "":
			res.LeftOut = append(res.LeftOut, LeftOut{Peer: p.Name, Reason: lacks})
		default:
			res.Rows = append(res.Rows, &Row{Peer: p, Samples: make([]*Measurement, r.reps)})
		}
	}
	for rep := range r.reps {
		for _, row := range res.Rows {
			fmt.Fprintf(r.progress, "%s %d/%d %s\n", s.Name, rep+1, r.reps, row.Peer.Name)
			m, err := r.trial(ctx, s, row.Peer)
			if ctx.Err() != nil {
				return res, ctx.Err()
			}
			if err != nil {
				row.Errors = append(row.Errors, err.Error())
				continue
			}
			row.Samples[rep] = m
		}
	}
	return res, nil
}

// makeFile makes a file of n bytes, which are in the page cache and on the
// disk: the system is not to write them while the reading is measured.
func makeFile(dir string, n int64) (string, error) {
	f, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := writeBytes(f.Write, payload(mib), n); err != nil {
		return "", err
	}
	return f.Name(), f.Sync()
}

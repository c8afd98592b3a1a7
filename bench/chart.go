package main

import (
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
)

// chart is a metric of the scenarios of a group.
type chart struct {
	name    string // of the file
	title   string
	more    bool // is better
	results []*Result
	metric  int
}

// charts groups what results have to show: the first metric, and those that
// are marked.
func charts(results []*Result) []*chart {
	var all []*chart
	for _, r := range results {
		for i, m := range r.Scenario.Metrics {
			if !m.Ratio || i > 0 && m.Chart == "" {
				continue
			}
			name := strings.TrimSuffix(r.Scenario.Group+"-"+m.Chart, "-")
			k := slices.IndexFunc(all, func(c *chart) bool { return c.name == name })
			if k < 0 {
				all = append(all, &chart{name: name, title: chartTitle(r, m), more: m.More, metric: i})
				k = len(all) - 1
			}
			all[k].results = append(all[k].results, r)
		}
	}
	return all
}

func chartTitle(r *Result, m Metric) string {
	name := m.Name
	switch r.Scenario.Work.Kind {
	case Upload, Download, Handshake: // of both roles
		name = strings.TrimPrefix(strings.TrimPrefix(name, "server "), "client ")
	}
	better := "less is better"
	if m.More {
		better = "more is better"
	}
	return fmt.Sprintf("%s: %s as a ratio to raw %s, %s", r.Scenario.Group, name, strings.ToUpper(r.rawName()), better)
}

// writeCharts writes an SVG file for each chart into dir.
func writeCharts(dir string, results []*Result) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, c := range charts(results) {
		p, width, err := c.plot()
		if err != nil {
			return fmt.Errorf("chart %s: %w", c.name, err)
		}
		if err := p.Save(width, 9*vg.Centimeter, filepath.Join(dir, c.name+".svg")); err != nil {
			return fmt.Errorf("chart %s: %w", c.name, err)
		}
	}
	return nil
}

// Sizes of the parts of a chart. Bars end at maxRatio, so that the worst do
// not hide how the others differ; their labels tell.
const (
	barWidth = 13.0 // points, as the others
	groupGap = 26.0
	legend   = 110.0
	fontSize = 9.0
	maxRatio = 4.0
)

// plot draws a group of bars for each scenario, in which a peer has the same
// place and colour throughout. Raw TCP is the line at 1.
func (c *chart) plot() (*plot.Plot, vg.Length, error) {
	var shown []*Peer
	for _, p := range peers {
		if !p.Raw && slices.ContainsFunc(c.results, func(r *Result) bool { return r.row(p) != nil }) {
			shown = append(shown, p)
		}
	}
	p := plot.New()
	p.Title.Text = c.title
	p.Title.TextStyle.Font.Size = fontSize + 2
	p.Legend.Top = true
	p.Legend.TextStyle.Font.Size = fontSize
	p.Legend.Padding = 2
	p.X.Tick.Label.Font.Size = fontSize
	p.Y.Tick.Label.Font.Size = fontSize
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	p.Add(grid)

	top := 1.2
	for i, peer := range shown {
		offset := vg.Points(barWidth * (float64(i) - float64(len(shown)-1)/2))
		b, labels, err := c.bars(peer, offset)
		if err != nil {
			return nil, 0, err
		}
		p.Add(b, labels)
		p.Legend.Add(peer.Name, b)
		top = max(top, slices.Max(b.Values))
	}
	one := plotter.NewFunction(func(float64) float64 { return 1 })
	one.Dashes = plotutil.Dashes(1)
	p.Add(one)

	names := make([]string, len(c.results))
	for k, r := range c.results {
		names[k] = r.Scenario.Label
	}
	p.NominalX(names...)
	group := barWidth*float64(max(len(shown), 8)) + groupGap
	p.X.Min, p.X.Max = -0.5, float64(len(names))-0.5+legend/group // the legend is right of the bars
	p.Y.Min, p.Y.Max = 0, top*1.15                                // and labels above them
	return p, max(vg.Points(group*float64(len(names))+legend+40), 14*vg.Centimeter), nil
}

// bars are those of a peer, one for each scenario, and their labels.
func (c *chart) bars(peer *Peer, offset vg.Length) (*plotter.BarChart, *plotter.Labels, error) {
	values := make(plotter.Values, len(c.results))
	var at plotter.XYLabels
	for k, r := range c.results {
		row := r.row(peer)
		if row == nil || row.Cells[c.metric].Ratio.N == 0 {
			continue
		}
		v := row.Cells[c.metric].Ratio.Median
		values[k] = min(v, maxRatio)
		at.XYs = append(at.XYs, plotter.XY{X: float64(k), Y: values[k]})
		at.Labels = append(at.Labels, fmt.Sprintf("%.2f", v))
	}
	b, err := plotter.NewBarChart(values, vg.Points(barWidth))
	if err != nil {
		return nil, nil, err
	}
	b.Color = peerColor(peer)
	b.LineStyle.Width = 0
	b.Offset = offset
	labels, err := plotter.NewLabels(at)
	if err != nil {
		return nil, nil, err
	}
	labels.Offset = vg.Point{X: offset, Y: 2}
	for i := range labels.TextStyle {
		style := &labels.TextStyle[i]
		style.Font.Size = fontSize - 2
		style.Rotation = math.Pi / 2
		style.YAlign = text.YCenter
	}
	return b, labels, nil
}

func (r *Result) row(p *Peer) *Row {
	for _, row := range r.Rows {
		if row.Peer == p {
			return row
		}
	}
	return nil
}

// peerColor is the same in all charts. walve's stands out.
func peerColor(p *Peer) color.Color {
	if strings.HasPrefix(p.Name, "walve") {
		shade := uint8(0)
		if p != walvePeer {
			shade = 120
		}
		return color.RGBA{R: 200, G: shade, B: shade, A: 255}
	}
	others := []color.RGBA{
		{31, 119, 180, 255}, {255, 127, 14, 255}, {44, 160, 44, 255}, {148, 103, 189, 255}, {140, 86, 75, 255},
		{227, 119, 194, 255}, {127, 127, 127, 255}, {188, 189, 34, 255}, {23, 190, 207, 255}, {57, 59, 121, 255},
	}
	i := 0
	for _, q := range peers {
		if q == p {
			break
		}
		if !q.Raw && !strings.HasPrefix(q.Name, "walve") {
			i++
		}
	}
	return others[i%len(others)]
}

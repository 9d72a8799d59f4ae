//! Contests: contestants take turns in one process, so that what disturbs the machine disturbs all; best and median are printed.

use std::time::Instant;

/// One side. `pass` answers all calls once.
pub struct Contestant<'a> {
    pub name: String,
    pub pass: Box<dyn FnMut() + 'a>,
}

impl<'a> Contestant<'a> {
    pub fn new(name: impl Into<String>, pass: impl FnMut() + 'a) -> Self {
        Contestant { name: name.into(), pass: Box::new(pass) }
    }
}

/// Nanoseconds for one lookup.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub best: f64,
    pub median: f64,
}

/// Runs all in turns and prints a table. The first is ours: behind the table stands its time over that of the best other one, and the
/// most that is wanted.
pub fn run(
    title: &str,
    lookups: usize,
    rounds: usize,
    mut contestants: Vec<Contestant<'_>>,
    wanted: Option<f64>,
) -> Vec<Times> {
    let mut samples = vec![Vec::with_capacity(rounds); contestants.len()];
    for round in 0..=rounds {
        for (contestant, samples) in contestants.iter_mut().zip(&mut samples) {
            let start = Instant::now();
            (contestant.pass)();
            let time = start.elapsed().as_nanos() as f64 / lookups as f64;
            // The first round warms caches and predictors.
            if round > 0 {
                samples.push(time);
            }
        }
    }
    println!("{title}");
    println!("  {:<28} {:>9} {:>9}", "ns", "best", "median");
    let times: Vec<Times> = samples.iter_mut().map(|s| times(s)).collect();
    for (contestant, times) in contestants.iter().zip(&times) {
        println!("  {:<28} {:>9.1} {:>9.1}", contestant.name, times.best, times.median);
    }
    let least = |f: fn(&Times) -> f64| times[1..].iter().map(f).fold(f64::INFINITY, f64::min);
    if times.len() > 1 {
        let best = times[0].best / least(|t| t.best);
        let median = times[0].median / least(|t| t.median);
        let wanted = wanted.map_or(String::new(), |w| format!("   wanted at most {w:.2}"));
        println!("  {:<28} {best:>9.2} {median:>9.2}{wanted}", "ratio to the best other");
    }
    println!();
    times
}

fn times(samples: &mut [f64]) -> Times {
    samples.sort_by(f64::total_cmp);
    Times { best: samples[0], median: samples[samples.len() / 2] }
}
